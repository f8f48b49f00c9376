"""Memory limits: met by computing again what is read later, with the same bits, or refused."""

from __future__ import annotations

import importlib
import random
import zlib
from typing import Any

import numpy as np
import pytest

import dlc
from dlc import f32, i32, nn, optim
from dlc.backend.assemble import assembled
from dlc.backend.costs import Rates, seconds_of
from dlc.compiler import Compiled, Loaded
from dlc.errors import DoesNotFit
from dlc.inspector.profile import entries_of, inputs_of
from dlc.memory import limit_bytes
from dlc.models import GOALS, file_of
from tests.instruction_sets import RUNS, generated_for

STEPS = 2


def deep(blocks: int, width: int = 64, batch: int = 64) -> dlc.Task:
    """Dense layers with batch normalization, whose statistics are state, and dropout."""
    net = nn.chain(*(nn.chain(nn.dense(width), nn.batch_norm(), dlc.tanh, nn.dropout(0.1))
                     for _ in range(blocks)), nn.dense(4))

    @dlc.task(data="", optimizer=optim.adam(1e-3), batch=batch)
    def stack(x: f32["batch", 16], y: i32["batch"]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(x), y))

    return stack


def recurrent() -> dlc.Task:
    """Two loops, one after the other."""
    net = nn.chain(nn.lstm(16), nn.lstm(16))

    @dlc.task(data="", optimizer=optim.sgd(0.1), batch=8)
    def loops(x: f32["batch", 12, 4]) -> dlc.Loss:
        return dlc.loss(dlc.mean(net(x) ** 2))

    return loops


def attentive() -> dlc.Task:
    """Blocks of attention with dropout: results of one launch that only the backward pass reads,
    and launches between which others move."""
    block = [nn.transformer_encoder(2, 64, causal=True, norm_first=True) for _ in range(2)]
    net = nn.chain(nn.embedding(16, 32), *block, nn.dense(16))

    @dlc.task(data="", optimizer=optim.adamw(1e-3, clip=optim.clip_by_norm(1.0)), batch=8)
    def writer(x: i32["batch", 12], y: i32["batch", 12]) -> dlc.Loss:
        return dlc.loss(nn.cross_entropy(net(x), y))

    return writer


def reachable(thing: dlc.Task) -> int:
    """The smallest limit that the search meets, from its refusal of a byte."""
    with pytest.raises(DoesNotFit) as caught:
        dlc.compile(thing, memory_limit=1)
    return caught.value.needed


def trained(compiled: Compiled, thing: dlc.Task, device: str | None = None) -> tuple[Any, int]:
    """(all parameters, state and results after some steps, as bytes; what the allocator took)."""
    with compiled.load(device, threads=1) as loaded:
        found = {f"{entry}.{name}.{k}": np.asarray(value).tobytes() for k in range(STEPS)
                 for entry in entries_of(compiled)
                 for name, value in step(loaded, compiled, entry, thing).items()}
        found |= {p.name: np.asarray(loaded.read(p.name)).tobytes()
                  for p in compiled.program.persistent}
        return found, loaded.running.allocated_bytes


def step(loaded: Loaded, compiled: Compiled, entry: str, thing: dlc.Task) -> dict[str, Any]:
    found = loaded(entry=entry, **inputs_of(compiled, entry, thing))
    return dict(found)


def again(compiled: Compiled) -> int:
    """The arithmetic that a training step does a second time."""
    return sum(x.flops for x in compiled.program.entries["train"].flat if x.again)


def seconds_again(compiled: Compiled) -> float:
    """What that takes, by the estimate with which the search ranks plans."""
    graphs = {entry: records[-1].graph for entry, records in compiled.records.items()}
    program = compiled.program
    _, drafts = assembled(program.name, graphs, "cpu", program.isa, dict(program.meta))
    schedule = next(d.schedule for d in drafts if d.name == "train")
    return sum(seconds_of(n.attrs["body"], Rates()) for n in schedule.launches
               if schedule.runs_again(n))


@pytest.fixture(scope="module")
def stack() -> tuple[dlc.Task, Compiled, int]:
    task = deep(4)
    return task, dlc.compile(task), reachable(task)


def test_smaller_limits_compute_more_again(stack: tuple[dlc.Task, Compiled, int]) -> None:
    task, free, least = stack
    assert least < 0.8 * free.peak_bytes
    limits = [free.peak_bytes + (least - free.peak_bytes) * k // 2 for k in range(3)]
    under = [dlc.compile(task, memory_limit=limit) for limit in limits]
    assert all(c.peak_bytes <= limit for c, limit in zip(under, limits, strict=True))
    work = [seconds_again(c) for c in under]
    assert work == sorted(work) and work[0] == 0 < work[-1]


@pytest.mark.swept(len(RUNS), keep=("avx2-cpu",))
@pytest.mark.parametrize(("isa", "device"), RUNS)
def test_bits_are_those_without_a_limit(isa: str, device: str) -> None:
    task = deep(3, 8, 32) if device == "interpret" else deep(4, 32)
    with generated_for(isa):
        free, least = dlc.compile(task), reachable(task)
        tight = dlc.compile(task, memory_limit=least)
        wanted, _ = trained(free, task, device)
        found, taken = trained(tight, task, device)
    assert again(tight) and taken <= least < free.peak_bytes
    assert found == wanted


def test_a_loop_runs_again() -> None:
    task = recurrent()
    free, least = dlc.compile(task), reachable(task)
    tight = dlc.compile(task, memory_limit=least, verify=True)
    assert trained(tight, task)[0] == trained(free, task)[0]
    assert tight.peak_bytes <= least


@pytest.mark.conformance
@pytest.mark.sliced
def test_blocks_of_attention_run_again() -> None:
    task = attentive()
    free, least = dlc.compile(task), reachable(task)
    wanted, _ = trained(free, task)
    for limit in (least, (least + free.peak_bytes) // 2):
        tight = dlc.compile(task, memory_limit=limit)
        found, taken = trained(tight, task)
        assert taken <= limit and again(tight) and found == wanted


def test_placement_comes_before_computing_again() -> None:
    """The unlimited plan spends bytes to save barriers; a limit takes those first."""
    from dlc.models.vae import vae

    free = dlc.compile(vae)
    tight = dlc.compile(vae, memory_limit=int(0.98 * free.peak_bytes))
    assert tight.peak_bytes < free.peak_bytes and again(tight) == 0


def test_refusal_names_the_least_and_the_lines(stack: tuple[dlc.Task, Compiled, int]) -> None:
    task, _, least = stack
    with pytest.raises(DoesNotFit) as caught:
        dlc.compile(task, memory_limit=least - 1)
    assert f"{least:,} bytes" in caught.value.hint and caught.value.needed == least
    assert "test_memory_limit.py:" in caught.value.hint
    assert caught.value.loc is not None and caught.value.loc.file == __file__


@pytest.mark.parametrize(("given", "size"), [
    (1 << 20, 1 << 20), ("512MB", 512 * 10**6), ("1.5 GiB", 3 << 29), ("300m", 300 << 20),
    ("12345", 12345), ("2kb", 2000)])
def test_sizes(given: int | str, size: int) -> None:
    assert limit_bytes(given) == size


@pytest.mark.parametrize("given", ["", "MB", "3 XB", "-5MB", 0, -1, True, 1.5, "1e6", "٣MB",
                                   "9" * 5000])
def test_what_is_no_size_is_refused(given: Any) -> None:
    with pytest.raises(dlc.DlcError, match=r"memory limit .{1,50} is not a size"):
        limit_bytes(given)


@pytest.mark.swept(len(GOALS))
@pytest.mark.parametrize("name", sorted(GOALS, key=lambda n: n == "xor"))
def test_random_limits_on_bundled_models(name: str) -> None:
    """Ten limits between what is reachable and the unlimited peak: the allocator keeps each, with
    the bits of the unlimited run; one byte below what is reachable is refused."""
    task: dlc.Task = getattr(importlib.import_module(f"dlc.models.{file_of(name)}"), name)
    free, least = dlc.compile(task), reachable(task)
    wanted, peak = trained(free, task)
    draw = random.Random(zlib.crc32(name.encode()))
    limits = {*(draw.randint(least, max(peak, least)) for _ in range(10)), least}
    for limit in sorted(limits, reverse=True):
        compiled = dlc.compile(task, memory_limit=limit)
        found, taken = trained(compiled, task)
        assert taken <= limit and found == wanted, limit
    with pytest.raises(DoesNotFit):
        dlc.compile(task, memory_limit=least - 1)
