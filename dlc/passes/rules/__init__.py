"""Rewrite rules, and simplify, which applies them."""
