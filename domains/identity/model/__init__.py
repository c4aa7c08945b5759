"""The aggregates of identity, each with its value objects and errors beside it."""
