"""differentiate: grad and jvp nodes become what they stand for."""

from __future__ import annotations

from dlc.graph import Build, Graph, building
from dlc.ops.autodiff import expand_higher


def differentiate(graph: Graph) -> Graph:
    """Expand every grad and jvp node, innermost first; equal forward parts become one.

    Raises DlcError at the user's line where a gradient does not exist.

    before:  grad_1 = grad(x, g, body=square, count=1);  y: f32[3] = grad_1[1]
    after:   mul_1: f32[3] = mul(g, x);  y: f32[3] = add(mul_1, mul_1)
    """
    with building(Build()):
        return graph.with_outputs(expand_higher(graph.outputs))
