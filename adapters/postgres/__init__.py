"""Postgres: two ways in and no third.

Commands go through `unit_of_work` (SQLAlchemy sessions over imperative mappings); readers and the turn's hot path go through `database`
(psycopg pipelines, one round trip per transaction).
"""
