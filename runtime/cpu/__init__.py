"""A Program on the CPU: arena, launch tables, threads."""
