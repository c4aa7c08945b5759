"""Hand-written fakes of our ports, each proven by a port-contract suite."""
