"""All dependency injection: the only place that knows which adapter fills which port."""
