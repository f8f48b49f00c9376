"""The tree in which buffers are added: one for any number of processes, NaN included."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from dlc.ir.types import Type, f32, f64, i32
from dlc.program import Port
from dlc.runtime.world.join import NAMES, join, started
from dlc.runtime.world.sums import CONTROL, LINE, Layout, Tree
from dlc.runtime.world.world import World, WorldError

PORTS = [Port("a", Type(f32, (5, 7)), 0), Port("n", Type(i32, (4,)), 0),
         Port("b", Type(f64, (3,)), 0), Port("c", Type(f32, ()), 0)]


def buffers(count: int) -> tuple[Layout, list[Any]]:
    """`count` buffers of numbers whose sum depends on the order, with a NaN each in two of them."""
    layout, rng = Layout(PORTS), np.random.default_rng(1)
    found = []
    for _ in range(count):
        buffer = layout.empty()
        for name in ("a", "b", "c"):
            view = layout.view(buffer, name)
            view[...] = rng.normal(size=view.shape) * 10.0 ** rng.integers(-6, 7, view.shape)
        layout.view(buffer, "n")[...] = rng.integers(-2**31, 2**31, 4)
        found.append(buffer)
    for number in (1, count - 1):  # quiet NaN with a payload that names the buffer
        layout.view(found[number], "a").reshape(-1)[3:4].view(np.uint32)[0] = 0x7fc00000 | number
    return layout, found


def balanced(layout: Layout, parts: list[Any]) -> Any:
    """The sum of the halves' sums."""
    if len(parts) == 1:
        return parts[0].copy()
    half = len(parts) // 2
    left, right = balanced(layout, parts[:half]), balanced(layout, parts[half:])
    layout.add(left, right, left)
    return left


@pytest.mark.parametrize("count", [1, 2, 4, 8, 32])
def test_a_stream_of_buffers_is_added_as_a_balanced_tree(count: int) -> None:
    layout, parts = buffers(max(count, 2))
    tree = Tree(layout)
    wanted = balanced(layout, parts[:count])
    for part in parts[:count]:
        leaf = tree.leaf()
        leaf[:] = part
        tree.push(leaf)
        assert len(tree.kept) <= count.bit_length()
    assert tree.take().tobytes() == wanted.tobytes()


@pytest.mark.parametrize("ranks", [2, 4])
def test_trees_of_parts_make_the_tree_of_the_whole(ranks: int) -> None:
    """What each process adds by itself, and then the sums of processes."""
    layout, parts = buffers(8)
    size = 8 // ranks
    own = [balanced(layout, parts[k * size:(k + 1) * size]) for k in range(ranks)]
    assert balanced(layout, own).tobytes() == balanced(layout, parts).tobytes()
    in_a_row = own[0].copy()
    for other in own[1:]:
        layout.add(in_a_row, other, in_a_row)
    assert ranks == 2 or in_a_row.tobytes() != balanced(layout, parts).tobytes()


def test_pieces_of_a_buffer_are_added_like_the_whole() -> None:
    layout, (left, right, *_) = buffers(2)
    whole, pieces = layout.empty(), layout.empty()
    layout.add(left, right, whole)
    for start in range(0, layout.bytes, LINE):
        layout.add(left, right, pieces, start, start + LINE)
    assert pieces.tobytes() == whole.tobytes()


def test_a_world_shares_micro_batches_in_stretches_that_are_trees() -> None:
    worlds = [at(rank, 4) for rank in range(4)]
    assert [list(w.share(8)) for w in worlds] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [worlds[0].rank_of(number, 8) for number in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]
    with pytest.raises(WorldError, match="4 processes do not divide 2 micro-batches"):
        worlds[0].share(2)


def at(rank: int, size: int) -> World:
    world = World()
    world.rank, world.size = rank, size
    return world


def test_without_mpi4py_one_process_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would train the same network into the same folder."""
    for rank, size in NAMES:
        with monkeypatch.context() as around:
            around.setenv(rank, "0")
            around.setenv(size, "2")
            around.setitem(sys.modules, "mpi4py", None)
            assert started() == (0, 2)
            with pytest.raises(WorldError, match="mpiexec started 2 processes, and to train togeth"
                               r"er they need mpi4py .*\n  pip install \"dlc\[mpi\]\""):
                join()
    assert started() == (0, 1) and join().size == 1


def test_a_layout_follows_the_program_and_keeps_values_apart() -> None:
    layout = Layout(PORTS)
    assert layout.bytes % LINE == 0 and all(start % LINE == 0 for _, start, _ in layout.regions)
    buffer = layout.empty()
    for number, name in enumerate([p.name for p in PORTS] + [CONTROL]):
        layout.view(buffer, name)[...] = number + 1
    for number, name in enumerate([p.name for p in PORTS] + [CONTROL]):
        assert (layout.view(buffer, name) == number + 1).all()
