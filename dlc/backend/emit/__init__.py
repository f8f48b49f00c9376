"""Emission: scalar values of nodes at indices, states of reductions, tidied lets."""
