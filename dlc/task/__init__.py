"""Tasks: a loss with its data and optimizer, and the steps built from it."""
