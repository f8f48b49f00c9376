"""What is checked of an assembled Program: verify=True and DLC_CHECK (docs/design/checks.md)."""
