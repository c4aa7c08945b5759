"""The audit trail in Postgres."""
