"""The rules of Luneo: four contexts that know no framework, no database and not each other."""
