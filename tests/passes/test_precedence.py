"""Quick searches against slow ones: what runs before what, the next launch, where spans lie."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence

import networkx as nx
import pytest

import dlc
from dlc import f32
from dlc.derive import higher
from dlc.ir.graph import Graph, Node
from dlc.ops import leaf
from dlc.passes import run_pipeline
from dlc.passes.fuse.components import components
from dlc.passes.schedule.lives import Span
from dlc.passes.schedule.order import Scheduler, is_launch, launch_of, result_types, schedule
from dlc.passes.schedule.placing import ORDERS, arrangement, times_of
from dlc.passes.schedule.precedence import Precedence
from tests.passes.test_group_order import random_graph


def launches_of(seed: int) -> tuple[Graph, list[Node], dict[Node, set[Node]]]:
    """A fused graph, its launches, and what each of them reads."""
    graph = run_pipeline(random_graph(seed, 40))[-1].graph
    launches = [n for n in graph.nodes() if is_launch(n)]
    return graph, launches, {n: {launch_of(a) for a in n.args if is_launch(launch_of(a))}
                             for n in launches}


@pytest.mark.parametrize("seed", range(20))
def test_what_runs_before_what_as_facts_are_added(seed: int) -> None:
    """Answers are those of a search through everything, and the order agrees with all facts."""
    r = random.Random(seed)
    _, launches, before = launches_of(seed)
    known = Precedence(launches, before)
    for _ in range(30):
        later, earlier = r.choice(launches), r.choice(launches)
        facts = nx.DiGraph([(id(b), id(n)) for n, bs in known.before.items() for b in bs])
        facts.add_nodes_from(map(id, launches))
        assert known.reaches(later, earlier) is nx.has_path(facts, id(earlier), id(later))
        if not known.reaches(earlier, later):
            known.add(later, [earlier])
        assert all(known.place[b] < known.place[n] for n, bs in known.before.items() for b in bs)
    assert sorted(known.place.values()) == list(range(len(launches)))


def growth(graph: Graph, n: Node, left: Sequence[Node]) -> int:
    """How many bytes more are held after launch `n`, of `left`, than before it."""
    last = [a for a in dict.fromkeys(n.args) if a.op is not leaf.INPUT
            and not any(o is a for o in graph.outputs)
            and not any(m is not n and any(b is a for b in m.args) for m in left)]
    return sum(t.bytes for t in result_types(n)) - sum(a.type.bytes for a in last)


def fewest_bytes_first(graph: Graph, launches: Sequence[Node],
                       before: Mapping[Node, set[Node]]) -> list[Node]:
    """The same order by looking at all launches that are ready, each time."""
    left, done = list(launches), list[Node]()
    while left:
        sizes = [(growth(graph, n, left), at) for at, n in enumerate(left)
                 if before[n] <= set(done)]
        done.append(left.pop(min(sizes)[1]))
    return done


@pytest.mark.parametrize("seed", range(20))
def test_the_next_launch_is_the_one_after_which_fewest_bytes_are_held(seed: int) -> None:
    graph, launches, before = launches_of(seed)
    found = Scheduler(graph, launches, before, {}).run()
    assert [id(n) for n in found] == [id(n) for n in fewest_bytes_first(graph, launches, before)]


def most_held(graph: Graph, ordered: Sequence[Node]) -> int:
    """The most bytes held after a launch."""
    held = itertools.accumulate(growth(graph, n, ordered[at:]) for at, n in enumerate(ordered))
    return max(held, default=0)


@pytest.mark.parametrize("seed", range(20))
def test_what_runs_late_holds_no_more_bytes(seed: int) -> None:
    graph, launches, before = launches_of(seed)
    found = schedule(graph, launches, before, {})
    assert len(found) == len(launches) and {*found} == {*launches}
    at = {n: i for i, n in enumerate(found)}
    assert all(at[b] < at[n] for n in found for b in before[n])
    assert most_held(graph, found) <= most_held(
        graph, Scheduler(graph, launches, before, {}).run())


@pytest.mark.parametrize("seed", range(20))
def test_a_span_lies_at_the_lowest_offset_that_is_free(seed: int) -> None:
    """Free while it lives; or in all supersteps in which it does, three launches each."""
    r = random.Random(seed)
    spans = [Span(64 * r.randint(1, 9), first, first + r.randint(0, 8))
             for first in (r.randint(-1, 20) for _ in range(60))]
    times = times_of(spans, [(at // 3, at // 3) for at in range(29)])
    for most, first, last in ((0, times[0], times[1]), (1 << 40, times[2], times[3])):
        for key in ORDERS:
            order = sorted(range(len(spans)), key=lambda i, key=key: key(spans[i]))
            found = arrangement([s.bytes for s in spans], times, order, most)
            ranges: list[tuple[int, int, int]] = []
            for i in order:
                size, at = spans[i].bytes, found.offsets[i]
                beside = [(low, high) for low, high, j in ranges
                          if first[j] <= last[i] and first[i] <= last[j]]
                assert at == min(x for x in (0, *(high for _, high in beside))
                                 if all(x + size <= low or high <= x for low, high in beside))
                ranges.append((at, at + size, i))
            assert found.top == max(high for _, high, _ in ranges) and not found.crowded


def test_updates_of_parameters_of_one_size_are_parts_of_their_launch() -> None:
    """They share the learning rate's broadcast and nothing else; their operands stand alike."""
    def step(lr: f32[()], a: f32[32], da: f32[32], b: f32[32], db: f32[32]) -> tuple[Node, Node]:
        return a - lr * da, b - lr * db

    (fused,) = {launch_of(o) for o in run_pipeline(dlc.trace(step))[-1].graph.outputs}
    assert fused.op is higher.FUSED
    first, second = components(fused.attrs["body"])
    assert [i.type for i in first.inputs] == [i.type for i in second.inputs]
    assert [i.name for i in first.inputs] == ["a", "lr", "da"]
    assert [i.name for i in second.inputs] == ["b", "lr", "db"]
