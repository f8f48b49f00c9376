"""The pictures of docs/networks.md, drawn from networks trained by this command:

    python -m tests.networks.pictures [FILE ...]
"""
