"""Fusion: operators that share loops become one kernel launch."""
