"""Emission: scalar values of nodes at indices, accumulators of reductions, folding of lets."""
