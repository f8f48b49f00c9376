"""What a graph is: types, nodes, operator records and their registry. Plain data."""
