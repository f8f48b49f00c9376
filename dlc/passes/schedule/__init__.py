"""Order of launches, live ranges, in-place writes, memory plan."""
