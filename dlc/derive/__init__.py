"""Derivatives and batching: their drivers, and the records of operators that hold graphs."""

from dlc.derive import batching, control, gradient_rules, higher

__all__ = ["batching", "control", "gradient_rules", "higher"]
