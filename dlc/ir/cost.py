"""The cost of recomputing a value: for some operators, less than storing it."""

from __future__ import annotations

# An instruction or two an element: less than writing a value to memory and reading it back.
CHEAP = frozenset({
    "add", "sub", "mul", "neg", "where", "cast", "maximum", "minimum", "abs", "eq", "ne", "lt",
    "le", "gt", "ge", "and_", "or_", "xor", "not_", "stop_gradient"})
