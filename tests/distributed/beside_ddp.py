"""A training step on two processes of one thread each, of dlc and of PyTorch's DDP over gloo.

    python -m tests.distributed.beside_ddp [NAME ...]     mlp, lenet, gpt where none is named

Each process has half of the same batch. Pairs of processes take turns; of each the steps' least
and median time are kept, and of the rounds the least of both: other jobs only make steps longer.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.distributed.worlds import MPIEXEC

ROUNDS, SECONDS = 3, 6.0
ME = [sys.executable, "-m", "tests.distributed.beside_ddp"]


def inputs_of(name: str) -> dict[str, np.ndarray[Any, Any]]:
    """A batch of random numbers for the network `name`."""
    from dlc.models.peers import NETWORKS

    task, rng = NETWORKS[name](), np.random.default_rng(0)
    found = {}
    for node in task.graphs(kinds=("eval",))["eval"].inputs:
        if node.attrs["role"] == "data":
            shape = tuple(map(int, node.shape))
            found[node.attrs["label"]] = (
                rng.random(shape, np.float32) if node.dtype.is_float
                else rng.integers(0, 10, shape).astype(np.int32))
    return found


def of_dlc(name: str) -> None:
    """The times of this process's steps, printed by the first."""
    import dlc
    from dlc.models.peers import NETWORKS
    from dlc.runtime.steps import Phase
    from dlc.runtime.train.interrupt import StopRequest
    from dlc.runtime.train.micro import MicroSteps
    from dlc.runtime.world.join import join

    world = join()
    task = NETWORKS[name]().with_options(micro_batches=2)
    compiled = world.in_turn(lambda: dlc.compile(task))
    loaded = world.in_turn(lambda: compiled.load(threads=1)).running
    stepper, data = MicroSteps(loaded, 2, world, StopRequest), inputs_of(name)
    rows = np.arange(task.batch)[None]
    phase = Phase("train", feeds=data, index=rows)
    world.agree({"network": name})

    def step() -> None:
        stepper.run_steps([phase], 1)

    told = timed(step, world.leads, world.from_leader)
    if world.leads:
        print(told)


def timed(step: Callable[[], None], leads: bool, share: Callable[[bytes], bytes]) -> str:
    """Milliseconds of a step after three others: least and median. After each ten the first process
    tells whether to go on."""
    for _ in range(3):
        step()
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while share(b"1" if leads and (time.perf_counter() < end or len(times) < 10) else b""):
        for _ in range(10):
            began = time.perf_counter()
            step()
            times.append(time.perf_counter() - began)
    return f"{min(times) * 1e3:.3f} {np.median(times) * 1e3:.3f}"


def of_ddp(name: str, rank: int, store: str) -> None:
    """The same of PyTorch: eager DDP with its own buckets, Adam as its users run it."""
    import torch
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    from dlc.runtime.bench.peers_torch import NETWORKS, loss_of, tensors

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    torch.manual_seed(0)
    data = inputs_of(name)
    half = len(next(iter(data.values()))) // 2
    batch = tensors([a[rank * half:(rank + 1) * half] for a in data.values()])
    net = DistributedDataParallel(NETWORKS[name]())
    optimizer, loss_function = torch.optim.Adam(net.parameters(), lr=1e-3), loss_of(net)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_function(*batch).backward()
        optimizer.step()

    def share(go: bytes) -> bytes:
        flag = torch.tensor([float(bool(go))])
        distributed.broadcast(flag, 0)
        return b"1" if flag.item() else b""

    told = timed(step, rank == 0, share)
    if rank == 0:
        print(told)
    distributed.destroy_process_group()


def pair(kind: str, name: str) -> tuple[float, float]:
    """(least, median) milliseconds of a step of one pair of processes."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "DLC_WORKERS": "1"}
    if kind == "dlc":
        commands = [[MPIEXEC, "-n", "2", *ME, "of-dlc", name]]
    else:
        store = f"{tempfile.mkdtemp()}/store"
        commands = [[*ME, "of-ddp", name, str(rank), store] for rank in range(2)]
    running = [subprocess.Popen(c, env=env, stdout=subprocess.PIPE, text=True) for c in commands]
    told = [process.communicate()[0] for process in running]
    least, median = map(float, told[0].split())
    return least, median


def main(given: list[str]) -> None:
    if given[:1] == ["of-dlc"]:
        of_dlc(given[1])
        return
    if given[:1] == ["of-ddp"]:
        of_ddp(given[1], int(given[2]), given[3])
        return
    for name in given or ["mlp", "lenet", "gpt"]:
        found: dict[str, list[tuple[float, float]]] = {"dlc": [], "ddp": []}
        for _ in range(ROUNDS):
            for kind, rounds in found.items():
                rounds.append(pair(kind, name))
        for kind, rounds in found.items():
            least, median = (min(r[k] for r in rounds) for k in (0, 1))
            print(f"{name:6} {kind}  least {least:8.3f} ms, median {median:8.3f} ms", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
