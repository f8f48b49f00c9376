"""Groups never read one another: launches have an order, whatever is fused."""

from __future__ import annotations

import random
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dlc
from dlc import f32
from dlc.ir.graph import Build, Graph, building
from dlc.ops.leaf import input_
from dlc.passes.fuse.fuse import fuse
from dlc.passes.fuse.group_order import GroupOrder
from dlc.passes.fuse.grouping import Edge, Fuser
from dlc.passes.fuse.horizontal import merge_horizontally, topological
from dlc.reference.evaluate import run
from tests.fuzzing.bounds import labelled, mistakes


def random_graph(seed: int, operators: int = 24) -> Graph:
    """Loops, reductions, products, views and scans over 8x8 values, some of them results."""
    r = random.Random(seed)
    with building(Build()):
        values = [input_(f"x{i}", f32[8, 8]) for i in range(2)]
        w = input_("w", f32[8, 8])
        for _ in range(operators):
            a, b = r.choice(values[-8:]), r.choice(values)
            rules: list[Any] = [
                lambda a, b: dlc.exp(a), lambda a, b: a + b, lambda a, b: a * b,
                lambda a, b: a - dlc.sum(b, axis=1, keepdims=True), lambda a, b: a @ w,
                lambda a, b: dlc.flip(a, 0) + b, lambda a, b: dlc.transpose(a, (1, 0)) * b,
                lambda a, b: dlc.cumsum(a, axis=0)]
            values.append(r.choice(rules)(a, b))
        results = [v for v in values[2:] if r.random() < 0.2] or [values[-1]]
        r.shuffle(results)
        return Graph("g", (*values[:2], w), tuple(results))


def reading(fuser: Fuser) -> Any:
    """Which group reads which."""
    found = nx.DiGraph()
    for node, edges in fuser.edges.items():
        for edge in edges:
            a, b = fuser.group[edge.producer], fuser.group[node]
            if a is not b:
                found.add_edge(a, b)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_groups_of_random_graphs_have_an_order(seed: int) -> None:
    fuser = Fuser(random_graph(seed))
    merged = merge_horizontally(fuser, fuser.run())
    graph = reading(fuser)
    assert nx.is_directed_acyclic_graph(graph)
    place = {group: at for at, group in enumerate(merged)}
    assert all(place[a] < place[b] for a, b in graph.edges)
    standing = fuser.standing.place
    assert all(standing[a] < standing[b] for a, b in graph.edges)


@pytest.mark.parametrize("seed", range(8))
def test_fused_graphs_mean_the_same_and_compute_nothing_twice(seed: int) -> None:
    graph = random_graph(seed, 16)
    fused = fuse(graph)
    bodies = [n.attrs["body"] for n in fused.nodes() if n.op.name == "fused"]
    for name in ("matmul", "sum", "cumsum"):
        count = sum(n.op.name == name for body in bodies for n in body.nodes())
        assert count == sum(n.op.name == name for n in graph.nodes()), name
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-0.5, 0.5, i.type.shape).astype(np.float32) for i in graph.inputs]
    got = {f"out{i}": value for i, value in enumerate(run(fused, arrays))}
    assert mistakes(graph, labelled(graph, arrays), got) == []


@given(st.integers(2, 14), st.randoms(use_true_random=False))
def test_merging_keeps_the_order_and_refuses_cycles_only(count: int, r: random.Random) -> None:
    """Against networkx: a merge is refused exactly when it would make a cycle."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from((a, b) for b in range(count) for a in range(b) if r.random() < 0.3)
    order = GroupOrder(list(range(count)), lambda n: list(graph.predecessors(n)))
    for _ in range(2 * count):
        a, b = (r.choice(list(graph)) for _ in range(2))
        if a == b:
            continue
        lower, upper = order.sorted(a, b)
        between = order.between(lower, upper)
        merged = nx.contracted_nodes(graph, lower, upper, self_loops=False)
        assert (between is None) == (not nx.is_directed_acyclic_graph(merged))
        if between is None:
            continue
        order.merge(lower, upper, between, lower)
        graph = merged
        assert sorted(order.place) == sorted(graph)
        assert all(order.place[x] < order.place[y] for x, y in graph.edges)
        assert all(order.slots[at] == g for g, at in order.place.items())


def test_groups_that_read_one_another_are_told() -> None:
    fuser = Fuser(random_graph(3))
    first, second = list(dict.fromkeys(fuser.group.values()))[:2]
    for reader, source in ((first, second), (second, first)):
        edge = Edge(source.members[0], reader.members[0], True, True, 1)
        fuser.edges[reader.members[0]].append(edge)
    with pytest.raises(ValueError, match="groups read one another"):
        topological(fuser, [first, second])
