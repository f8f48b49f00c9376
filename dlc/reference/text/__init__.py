"""Graphs as text, and back: print_graph and parse_graph are exact inverses (docs/ir.md)."""

from __future__ import annotations

from dlc.ir.graph import Graph
from dlc.reference.text.names import function_names
from dlc.reference.text.parsing import Parsed, parse_graph, parse_text
from dlc.reference.text.printing import print_graph

# The graph module knows no printer: a Graph gets its text here, as Node gets its operators.
Graph.__str__ = print_graph  # type: ignore[method-assign, assignment]

__all__ = ["Parsed", "function_names", "parse_graph", "parse_text", "print_graph"]
