"""Devices that check a Program, or run it in plain Python."""
