"""What can be done with agents, knowledge and conversations."""
