"""Products of a loop that depend on no carry are computed outside, for all steps at once.

    h = scan(h0, xs, w, u, body=tanh(x @ w + h @ u))    # x: an element of xs [T, B, K]
    ->
    z = reshape(reshape(xs, T B, K) @ w, T, B, N)
    h = scan(h0, z, u, body=tanh(z_t + h @ u))          # z_t: an element of z

    ys = scan(..., body=(h', h' @ v))[1]
    ->
    hs = scan(..., body=(h', h'))[1]; ys = hs @ v       # over all steps

A product with few rows spends its time on the constant matrix, which every step reads and packs
again; over all steps there are T times as many rows. So a product moves if it has fewer bytes than
the matrix. The cost is memory: stacks of values that existed one step at a time. They may be FEW
times what is stacked anyway, elements and rows of results. A loop without carries (dlc.map) is left
alone, since its purpose is to need the memory of only one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from dlc.derive.batching import Batched, batch
from dlc.derive.control import SCAN, Fresh, Loop, distinct, results
from dlc.derive.gradient_rules import BARRIER
from dlc.ir.dependence import depends_on
from dlc.ir.graph import Graph, Kind, Node, make, substitute, toposort
from dlc.ir.types import Type

FEW = 4
# What may be computed for all steps at once beside the products.
MOVABLE = (Kind.ELEMENTWISE, Kind.VIEW, Kind.REDUCE, Kind.FOLD, Kind.CONTRACT, Kind.GATHER)


def products_outside(loop: Loop) -> Sequence[Node] | None:
    """The results of the loop without such products; None where it has none."""
    if not loop.carries:
        return None
    return before_the_loop(loop) or after_the_loop(loop)


def movable(node: Node) -> bool:
    return node.op.kind in MOVABLE and node.op is not BARRIER and isinstance(node.type, Type)


def is_product(node: Node, varying: set[Node]) -> bool:
    """Whether one operand of a contraction changes from step to step, and the other does not."""
    return node.op.kind is Kind.CONTRACT and sum(a in varying for a in node.args) == 1


def bytes_of(values: Iterable[Node]) -> int:
    return sum(int(v.type.bytes) for v in values)


def pays(product: Node, varying: set[Node]) -> bool:
    """Whether a step reads more of what stands still than it gives."""
    return bytes_of([product]) <= bytes_of(a for a in product.args if a not in varying)


# --- before the loop ------------------------------------------------------------------------------


def before_the_loop(loop: Loop) -> Sequence[Node] | None:
    """The loop over stacks of what products of elements give."""
    found = values_ahead(loop)
    if not found:
        return None
    stacks = dict(zip(found, over_all_steps(found, loop, dict(loop.sequences)), strict=True))
    fresh = Fresh(loop.node.attrs["body"].inputs)
    elements = {v: fresh.input("", v.name or "ahead", v.type) for v in found}
    for value, x in elements.items():
        x.locs = value.locs
    outputs, count = (*loop.new, *loop.ys), len(loop.carries)
    kept = [i for i, o in enumerate(outputs) if i < count or o not in stacks]
    more = [(elements[v], stacks[v]) for v in found]
    new = dict(zip(kept, with_outputs(loop, substitute(
        [outputs[i] for i in kept], elements), more), strict=True))
    return [new[i] if i in new else stacks[o] for i, o in enumerate(outputs)]


def values_ahead(loop: Loop) -> list[Node]:
    """The values to have stacked before the loop: results of products of elements."""
    outputs, elements = (*loop.new, *loop.ys), [x for x, _ in loop.sequences]
    varying = depends_on(outputs, [*(x for x, _ in loop.carries), *elements])
    order, ahead = toposort(outputs), set(elements)
    for node in order:
        if node in varying and movable(node) and all(
                a in ahead or a not in varying for a in node.args):
            ahead.add(node)
    products = [n for n in order if n in ahead and is_product(n, ahead) and pays(n, ahead)]
    tops = highest(products, ahead, outputs)
    room = FEW * bytes_of([*elements, *distinct(loop.ys)])
    return [top for top in first_met(outputs, tops)
            if all(bytes_of([n]) <= room for n in toposort([top])
                   if n in ahead and n.op.kind is Kind.CONTRACT)]


def highest(products: Sequence[Node], ahead: set[Node], outputs: Sequence[Node]) -> set[Node]:
    """For each product the last of what only stands between it and its readers: a bias, a view."""
    read_by: dict[Node, list[Node]] = {}
    for node in toposort(outputs):
        for arg in set(node.args):
            read_by.setdefault(arg, []).append(node)
    tops, ends = set(), set(outputs)
    for product in products:
        value = top = product
        while value not in ends and len(read_by[value]) == 1:
            (value,) = read_by[value]
            if value not in ahead or value.op.kind not in (Kind.ELEMENTWISE, Kind.VIEW):
                break
            # a view is read in place: only a sum beyond it is worth a stack of its own
            if value.op.kind is Kind.ELEMENTWISE and bytes_of([value]) <= bytes_of([top]):
                top = value
        tops.add(top)
    return tops


def first_met(outputs: Sequence[Node], tops: set[Node]) -> list[Node]:
    """Those of `tops` that are met from the outputs without passing another one."""
    met: dict[Node, None] = {}
    seen: set[Node] = set()
    stack = list(reversed(outputs))
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in tops:
            met[node] = None
        else:
            stack.extend(reversed(node.args))
    return list(met)


# --- after the loop -------------------------------------------------------------------------------


def after_the_loop(loop: Loop) -> Sequence[Node] | None:
    """The loop with stacks of what products that only results need are made from."""
    outputs, count = (*loop.new, *loop.ys), len(loop.carries)
    elements = {x for x, _ in loop.sequences}
    varying = depends_on(outputs, [*(x for x, _ in loop.carries), *elements])
    products = products_behind(loop, varying)
    moved = depends_on(outputs, products) if products else set()
    needed = distinct(a for n in toposort(outputs) if n in moved
                      for a in n.args if a in varying and a not in moved)
    later = [y for y in distinct(loop.ys) if y in moved]
    stay = [y for y in distinct(loop.ys) if y not in moved]
    extra = [v for v in needed if v not in elements and all(v is not y for y in stay)]
    if not products or bytes_of([*products, *extra]) > FEW * bytes_of(later):
        return None
    found = with_outputs(loop, [*loop.new, *stay, *extra], ())
    rows = dict(zip([*stay, *extra], found[count:], strict=True))
    stacks = {v: rows[v] if v in rows else dict(loop.sequences)[v] for v in needed}
    rows.update(zip(later, over_all_steps(later, loop, stacks), strict=True))
    return [*found[:count], *(rows[y] for y in loop.ys)]


def products_behind(loop: Loop, varying: set[Node]) -> list[Node]:
    """Products that no carry needs, from which results follow by what may move with them."""
    outputs, needed = (*loop.new, *loop.ys), set(toposort(loop.new))
    found = []
    for node in toposort(loop.ys):
        if node in varying and node not in needed and is_product(
                node, varying) and pays(node, varying):
            above = depends_on(outputs, [node])
            if all(movable(n) and n not in needed for n in above):
                found.append(node)
    return found


# --- both -----------------------------------------------------------------------------------------


def over_all_steps(values: Sequence[Node], loop: Loop, stacks: Mapping[Node, Node]) -> list[Node]:
    """`values` of the body of every step, [length, ...], given some of all steps."""
    given = {x: Batched(outer, False) for x, outer in loop.invariants}
    given.update((v, Batched(s, True)) for v, s in stacks.items())
    return [b.node for b in batch(values, given, loop.length)]


def with_outputs(loop: Loop, outputs: Sequence[Node],
                 more: Sequence[tuple[Node, Node]]) -> list[Node]:
    """The results of the loop with other outputs, and `more` sequences."""
    node = loop.node
    bound = [*loop.carries, *loop.sequences, *more, *loop.invariants]
    body = Graph(node.attrs["body"].name, tuple(x for x, _ in bound), tuple(outputs))
    return results(make(SCAN, [a for _, a in bound], node.name, **{
        **node.attrs, "body": body, "sequences": len(loop.sequences) + len(more)}))
