"""Differentiation: every grad and jvp node becomes the derivative that it stands for.

    y, gx = grad[body](x, 1.0)   ->   y = sin(x); gx = mul(1.0, cos(x))

Innermost first, so any nesting of grad, jvp and bodies is only order of expansion. Several queries
against one forward computation share it: the expansion is interned into one graph.
"""

from __future__ import annotations

from dlc.graph import Build, Graph, building
from dlc.ops.autodiff import expand_higher


def differentiate(graph: Graph) -> Graph:
    """Replace every grad and jvp node by the derivative that it stands for."""
    with building(Build()):
        return graph.with_outputs(expand_higher(graph.outputs))
