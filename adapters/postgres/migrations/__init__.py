"""The schema, one linear chain of revisions named by number."""
