"""Processes that train together: what they sum, in which order, and how they fail together."""
