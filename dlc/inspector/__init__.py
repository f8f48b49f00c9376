"""Inspection: what the compiler did, why, and what it costs, back to the user's line."""
