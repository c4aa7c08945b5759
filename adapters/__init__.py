"""What fills the ports: one package per technology, and the only place that knows its vendor."""
