"""logsumexp on a CPU: the largest first, then one exponential an element.

    log(sum(exp(x)))        ->      top = max(x)
                                    safe = where(isfinite(top), top, 0)
                                    log(sum(exp(x - safe))) + safe

The operator's own fold (dlc/ops/sums.py) walks its operand once, and rescales what it has at each
element: two exponentials, one after the other, as is right where elements come from far away and
many threads wait for them. A row that a core has just read is in its cache, and a maximum and a sum
of exponentials are each made in vectors. Fusion has seen one reduction; this runs on a group.
"""

from __future__ import annotations

from dlc.ir.graph import Build, Graph, Node, building, make, serving, substitute
from dlc.ops.elementwise import add, exp, isfinite, log, sub, where
from dlc.ops.reduce import LOGSUMEXP, MAX, SUM, expand


def in_two_passes(body: Graph) -> Graph:
    """The group with its logsumexps as maxima and sums; itself where it has none."""
    twins: dict[Node, Node] = {}
    with building(Build()):
        for node in body.nodes():
            if node.op is not LOGSUMEXP or not node.args[0].type.size:
                continue
            (x,) = substitute(node.args, twins)
            with serving(node.locs):
                twins[node] = _of(x, node)
        if not twins:
            return body
        outputs = tuple(substitute(body.outputs, twins))
    return Graph(body.name, body.inputs, outputs)


def _of(x: Node, node: Node) -> Node:
    """What `node` makes of `x`."""
    axes = node.attrs["axes"]
    top = make(MAX, (x,), axes=axes, ties="even")
    # an infinite maximum would give inf - inf, and one that is NaN stays NaN in the sum
    safe = where(isfinite(top), top, 0.0)
    total = make(SUM, (exp(sub(x, expand(safe, x, axes))),), axes=axes)
    found = add(log(total), safe)
    found.name = node.name
    return found
