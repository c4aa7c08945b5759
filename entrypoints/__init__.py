"""How the world reaches Luneo: HTTP, command line, consumers, and the composition that wires them."""
