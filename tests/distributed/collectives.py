"""What each of four processes runs for test_worlds.py: sums beside the tree by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dlc.ir.types import Type, f32, f64, i32
from dlc.program import Port
from dlc.runtime.world.join import join
from dlc.runtime.world.mpi import SMALL
from dlc.runtime.world.sums import LINE, Layout
from dlc.runtime.world.world import WorldError
from tests.distributed.model import messages


def buffers(layout: Layout, count: int, seed: int) -> list[np.ndarray]:
    """The same random buffers in every process, with a NaN in one of them."""
    rng = np.random.default_rng(seed)
    found = [layout.empty() for _ in range(count)]
    for buffer in found:
        for name, (dtype, shape, _) in layout.places.items():
            values = rng.normal(size=shape) * 10.0 ** rng.integers(-6, 7, shape)
            layout.view(buffer, name)[...] = values if dtype.kind == "f" else rng.integers(
                -2**31, 2**31, shape)
    layout.view(found[-1], "a").reshape(-1)[0] = np.nan
    return found


def balanced(layout: Layout, parts: list[np.ndarray]) -> np.ndarray:
    if len(parts) == 1:
        return parts[0].copy()
    half = len(parts) // 2
    left, right = balanced(layout, parts[:half]), balanced(layout, parts[half:])
    layout.add(left, right, left)
    return left


@contextmanager
def counting(world: Any) -> Iterator[list[int]]:
    """The bytes of each message that this process sends inside."""
    sent: list[int] = []
    exchange = world.exchange

    def counted(peer: int, out: np.ndarray, received: np.ndarray) -> None:
        sent.append(out.nbytes)
        exchange(peer, out, received)

    world.exchange = counted
    yield sent
    world.exchange = exchange


def main() -> None:
    world = join()
    sizes = set()
    for seed, (rows, wide) in enumerate([(1, 1), (3, 7), (30, 33), (64, 1000), (1, 12345)]):
        layout = Layout([Port("a", Type(f32, (rows, wide)), 0), Port("n", Type(i32, (4,)), 0),
                         Port("b", Type(f64, (wide,)), 0)])
        sizes.add(layout.bytes > SMALL)
        parts = buffers(layout, world.size, seed)
        mine = parts[world.rank].copy()
        with counting(world) as sent:
            world.all_reduce(mine, layout)
        count, size = messages(world.size, layout.bytes)
        assert len(sent) == count and abs(sum(sent) - size) <= count * LINE, (sent, count, size)
        assert mine.tobytes() == balanced(layout, parts).tobytes(), (rows, wide)
    assert sizes == {True, False}  # both ways of exchanging
    texts = world.gather(b"x" * (world.rank + 1))
    assert texts == [b"x" * (k + 1) for k in range(world.size)]
    assert world.from_leader(b"of rank 0" * 99 if world.leads else b"") == b"of rank 0" * 99
    assert world.from_leader(b"") == b""
    world.agree({"sky": "blue"})
    try:
        world.agree({"sky": "grey" if world.rank == 2 else "blue"})
    except WorldError as error:
        assert "rank 2 of 4 has another sky than rank 0: grey, not blue" in str(error)
        if world.leads:
            print("collectives hold")


if __name__ == "__main__":
    main()
