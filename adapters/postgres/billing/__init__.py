"""Billing in Postgres: subscriptions as aggregates, quotas and usage as single statements."""
