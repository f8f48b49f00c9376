"""Recomputation under a memory limit: which launches run again so that a step fits."""
