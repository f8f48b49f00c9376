"""Kernel texts to linked machine code."""
