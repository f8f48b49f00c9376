"""simplify: all rewrite rules and constant folding, to a fixed point."""

from __future__ import annotations

from collections import Counter

from dlc.ir.graph import Build, Graph, Node, building
from dlc.passes.rules.arithmetic import ARITHMETIC
from dlc.passes.rules.constant_fold import FOLD
from dlc.passes.rules.logic import LOGIC
from dlc.passes.rules.reduce import REDUCTIONS
from dlc.passes.rules.views import VIEW_FUNCTIONS, VIEWS
from dlc.reference.rewrite import AnyRule, Grade, RuleSet, keeps, rewrite

RULES: tuple[AnyRule, ...] = (FOLD, *ARITHMETIC, *LOGIC, *VIEWS, *REDUCTIONS, *VIEW_FUNCTIONS)
DEFAULT = RuleSet(RULES)


# its rules regroup sums and write powers as products
@keeps(Grade.ROUNDING)
def simplify(graph: Graph, counts: Counter[str] | None = None,
             fired: list[tuple[str, Node]] | None = None) -> Graph:
    """Apply the rules of RULES until none matches; equal nodes become one.

    `counts` adds up how often each rule fired, `fired` gets each with the node that it replaced.
    Bodies of nodes that hold a graph stay as they are.

    before:  a: f32[3] = add(x, 0.0);  b: f32[3] = neg(g);  y: f32[3] = add(a, b)
    after:   y: f32[3] = sub(x, g)
    """
    with building(Build()):
        return rewrite(graph, DEFAULT, counts, fired)
