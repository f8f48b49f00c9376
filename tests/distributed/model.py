"""The alpha-beta model of a step on several processes: its constants, measured, and simulation.

    mpiexec -n 2 python -m tests.distributed.model        measures alpha and beta on these processes
    python -m tests.distributed.model ALPHA_US GB_S       simulates clusters with such constants

A message of b bytes takes alpha + b / beta. A step on n processes takes the work of its part of
the micro-batches, the update, and 2 log2(n) messages of together 2 (n - 1) / n of the buffer, each
way; docs/scale.md has the table.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass

import numpy as np

from dlc.ir.types import Type, f32
from dlc.program import Port
from dlc.runtime.world.join import join
from dlc.runtime.world.mpi import SMALL
from dlc.runtime.world.sums import Layout
from dlc.runtime.world.world import World

SIZES = (256, 4096, 65536, 1 << 20, 4 << 20, 16 << 20)
RUNS = 60


@dataclass(frozen=True)
class Network:
    """What one process does in a step: seconds of the gradient over its rows, of the update and all
    else, and the bytes that are summed."""

    name: str
    gradient: float
    update: float
    bytes: int


@dataclass(frozen=True)
class Links:
    """Seconds of a message, bytes a second of its content, and bytes a second of a sum."""

    alpha: float
    beta: float
    sums: float = math.inf  # measured on processes, beta has it in it


def messages(n: int, size: int) -> tuple[int, float]:
    """(messages that a process sends in a step, their bytes) for a buffer of `size` bytes."""
    rounds = int(math.log2(n))
    if size <= SMALL:
        return rounds, float(rounds * size)
    return 2 * rounds, 2 * (n - 1) / n * size


def reduction(n: int, size: int, links: Links) -> float:
    """Seconds of all_reduce on n processes."""
    count, sent = messages(n, size)
    added = sent / 2 if size > SMALL else sent
    return count * links.alpha + sent / links.beta + added / links.sums


def efficiency(network: Network, n: int, links: Links) -> float:
    """Of n processes that divide a batch n times that of one, the part of their time that goes into
    gradients and one update: rows a second, over n times those of one process."""
    alone = network.gradient + network.update
    return alone / (alone + reduction(n, network.bytes, links))


def largest(network: Network, links: Links, wanted: float = 0.8) -> int:
    """The largest power of 2, up to 1024, of processes that are `wanted` efficient."""
    return max((n for n in (1 << k for k in range(11))
                if n == 1 or efficiency(network, n, links) >= wanted), default=1)


def measured(world: World) -> list[tuple[int, float, float]]:
    """(bytes, least and median seconds) of all_reduce for each of SIZES, in this process."""
    found = []
    for size in SIZES:
        layout = Layout([Port("x", Type(f32, (size // 4,)), 0)])
        buffer, times = layout.empty(), []
        for _ in range(RUNS):
            began = time.perf_counter()
            world.all_reduce(buffer, layout)
            times.append(time.perf_counter() - began)
        found.append((size, min(times), float(np.median(times))))
    return found


def fitted(n: int, found: list[tuple[int, float, float]]) -> Links:
    """The constants that the least times of the smallest and of the largest buffer give."""
    (_, short, _), (size, long, _) = found[0], found[-1]
    alpha = short / messages(n, SIZES[0])[0]
    count, sent = messages(n, size)
    return Links(alpha, sent / (long - count * alpha))


# seconds of processor time on one thread of a Zen 5 core, AVX-512: of 64 rows of mlp and lenet, of
# 4 of gpt (dlc/models/peers.py), and what a step takes beside
NETWORKS = (Network("mlp", 2.62e-3, 1.19e-3, 2_678_912),
            Network("lenet", 3.22e-3, 0.31e-3, 246_912),
            Network("gpt", 124.8e-3, 3.6e-3, 13_293_696))


def main(given: list[str]) -> None:
    if len(given) == 2:
        links = Links(float(given[0]) * 1e-6, float(given[1]) * 1e9)
        print("network   " + "".join(f"{1 << k:>8}" for k in range(1, 11)) + "   80 % up to")
        for network in NETWORKS:
            row = "".join(f"{efficiency(network, 1 << k, links):8.2f}" for k in range(1, 11))
            print(f"{network.name:10}{row}   {largest(network, links)}")
        return
    world = join()
    found = measured(world)
    if world.leads:
        for size, least, median in found:
            print(f"{size:>10} bytes  {least * 1e6:10.1f} us at least, {median * 1e6:10.1f} median")
        links = fitted(world.size, found)
        print(f"alpha {links.alpha * 1e6:.2f} us, beta {links.beta / 1e9:.2f} GB/s")


if __name__ == "__main__":
    main(sys.argv[1:])
