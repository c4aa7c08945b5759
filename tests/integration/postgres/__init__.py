"""The foundation in Postgres."""
