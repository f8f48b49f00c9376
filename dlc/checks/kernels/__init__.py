"""Checkers of a Program that share nothing with the compiler's reasoning."""
