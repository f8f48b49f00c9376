"""Differentiation: every grad, jvp and vmap node becomes what it stands for.

    y, gx = grad[body](x, 1.0)   ->   y = sin(x); gx = mul(1.0, cos(x))

Innermost first, so any nesting of them and of bodies is just an order of expansion. Several
derivatives of one forward computation share it: the expansion is interned into one graph. Nodes
with a custom rule (custom_gradient, checkpoint) are replaced by their body at the end.
"""

from __future__ import annotations

from dlc.derive.autodiff import expand_higher
from dlc.derive.gradient_rules import settled
from dlc.ir.graph import Build, Graph, building
from dlc.reference.rewrite import Grade, keeps


# batching rules of vmap may sum in another order than one example alone
@keeps(Grade.ROUNDING)
def differentiate(graph: Graph) -> Graph:
    """Replace every grad, jvp and vmap node by what it stands for, rules by their bodies."""
    with building(Build()):
        return graph.with_outputs(settled(expand_higher(graph.outputs)))
