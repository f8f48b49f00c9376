"""Contractions: matrix products and convolutions through tiles."""
