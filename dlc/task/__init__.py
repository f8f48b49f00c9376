"""Tasks: a loss with what trains it, and the steps made of it."""
