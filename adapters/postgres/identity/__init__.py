"""People, organisations, members, sessions and API keys in Postgres."""
