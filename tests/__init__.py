"""The tests of Luneo."""
