"""The passes, and PIPELINE, the only statement of their order."""
