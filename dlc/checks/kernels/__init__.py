"""Checkers of a Program that share no code with the compiler's analyses."""
