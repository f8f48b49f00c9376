"""Loop nests: groups of elementwise operators, reductions, views and scatters."""
