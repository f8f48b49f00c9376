"""OpInfo in training mode: samples and changed ones as phases of a task, beside torch.optim.

Float inputs are parameters, the loss is the results times random cotangents, and each of momentum,
Nesterov, Adam and AdamW makes two steps with a share of the cases. Compared are the loss, every
gradient and every updated parameter, natively on the instruction set of DLC_CPU.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest

import dlc
from tests.conformance import cut
from tests.conformance.adapters import TABLE, Excluded
from tests.conformance.mutations import MUTATIONS, mutated
from tests.conformance.test_opinfo import outputs_of, setting
from tests.conformance.torch_samples import SEED, Case, cases, infos, results_of
from tests.conformance.training import Refused, Subject, slope, task_of
from tests.conformance.training_runs import Peer, trained
from tests.conformance.training_tails import BATCH, TAIL, batched, trained_with_tails

pytestmark = pytest.mark.conformance
# Samples of an operator in a full run, as they are and for each change; tries for one that fits.
SAMPLES, CHANGED, TRIES = 8, 2, 6
# Changes that end the process in PyTorch itself: lengths that its own backward reads beyond.
ENDS_PYTORCH = {("nn.functional.ctc_loss", "an extent of 1"),
                ("nn.functional.ctc_loss", "an odd tail")}
REPEATED = "index_copy into a place twice: torch's gradient counts both, only one of which is there"
# Subjects in one program.
TOGETHER = 40
OPERATORS = [n for n, a in TABLE.items()
             if a.dtypes[0] == "float32" and infos()[n].supports_autograd]


def fitting(name: str) -> list[Case]:
    """The samples that have a gradient, elements, and a call in training mode."""
    adapter = TABLE[name]
    return [c for c in cases(name) if c.smooth and all(a.size for a in c.arrays)
            and all(c.outputs[i].size for i in c.graded)
            and c.call(partial(setting, adapter.function), list(c.arrays))]


def subject_of(name: str, case: Case) -> Subject:
    """The sample as a function in both languages."""
    adapter = TABLE[name]
    return Subject(str(case), case.arrays, case.smooth, partial(outputs_of, adapter, case),
                   partial(results_of, infos()[name], case.call), adapter.scale, adapter.refuses)


def subjects(name: str, change: str, count: int) -> Iterator[Subject | str]:
    """Up to `count` samples of an operator with a change, or why there is none. Seeded by all."""
    if (name, change) in ENDS_PYTORCH:
        yield f"{change}: PyTorch's own gradient reads outside of its arrays"
        return
    found = fitting(name)
    rng = np.random.default_rng([SEED, zlib.crc32(f"{name} {change}".encode())])
    reason, made = "no sample has a gradient and elements", 0
    for k in rng.permutation(len(found)).tolist()[:max(TRIES, count)]:
        try:
            one = mutated(subject_of(name, found[k]), change, rng)
            if name == "index_copy" and any(
                    a.dtype.kind == "i" and np.unique(a).size < a.size for a in one.arrays):
                raise Excluded(REPEATED)
            task_of([one]).graphs(kinds=("train",))
        except (Refused, Excluded, dlc.DlcError) as problem:
            reason = why(problem, change)
            continue
        yield one
        made += 1
        if made == count:
            return
    if not made:
        yield reason


def why(problem: Exception, change: str) -> str:
    """Why a sample is left out. Raises what dlc refuses and PyTorch does not."""
    if isinstance(problem, Refused):
        return f"{change}: PyTorch refuses every way of it"
    if isinstance(problem, dlc.DlcError):
        if "depends on no trained parameter" not in str(problem):
            raise problem
        return "the gradient is 0 everywhere: there is nothing to train"
    return str(problem)


def train(found: Sequence[Subject | str], count: cut.Tally, peer: Peer = slope) -> None:
    """Train the subjects, so many in a program; count them, and what is left out."""
    kept = [s for s in found if isinstance(s, Subject)]
    for reason in (s for s in found if isinstance(s, str)):
        count.leave_out(reason)
    wrong: list[str] = []
    for at in range(0, len(kept), TOGETHER):
        part = kept[at:at + TOGETHER]
        outcome = trained(part, peer)
        wrong += outcome.wrong
        for reason in outcome.refused:
            count.leave_out(reason)
        count.add(len(part) - len(outcome.refused) - outcome.failed)
        for _ in range(outcome.failed):
            count.fail()
        print(f"{len(part)} training programs in one, {outcome.kernels} kernels: "
              + ", ".join(f"{n:,} {what}" for what, n in sorted(outcome.counts.items())))
    assert not wrong, "\n".join(wrong)


def groups(each: int) -> list[list[str]]:
    """Operators that share a test, of those that run."""
    names = cut.chosen("training", OPERATORS)
    return [names[i:i + each] for i in range(0, len(names), each)]


def named(names: Sequence[str]) -> str:
    return f"{names[0]}-and-{len(names) - 1}"


@pytest.mark.parametrize("names", groups(10 if cut.FULL else 20), ids=named)
def test_training_compiled(names: Sequence[str], tally: Callable[[str], cut.Tally]) -> None:
    """All of these operators: in the cut one sample with the change whose turn it is, in a full
    run several samples as they are and some with each change."""
    found: list[Any] = []
    for name in names:
        turn = (cut.SEED + zlib.crc32(name.encode())) % len(MUTATIONS)
        for i, change in enumerate(MUTATIONS):
            if cut.FULL:
                found += subjects(name, change, CHANGED if i else SAMPLES)
            elif i == turn:
                found += subjects(name, change, 1)
    train(found, tally("torch OpInfo, training"))


# as dear again as all the others: the cut takes a quarter of the operators
TAILED = [n for n in OPERATORS if cut.FULL or zlib.crc32(n.encode()) % 4 == 0]


@pytest.mark.parametrize("names", [cut.chosen("training tails", TAILED)], ids=named)
def test_tail_batches_compiled(names: Sequence[str], tally: Callable[[str], cut.Tally]) -> None:
    """One sample of each operator over a batch of 5, then over a tail of 2 in the same Program."""
    count, pairs, counts = tally("torch OpInfo, tail batches"), [], []
    for name in names:
        for one in subjects(name, "as it is", 1):
            if isinstance(one, str):
                count.leave_out(one)
                continue
            rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
            try:
                pair = batched(one, BATCH, rng), batched(one, TAIL, rng)
            except Refused:
                count.leave_out("PyTorch refuses the parameters scaled")
                continue
            pairs.append(pair)
            counts.append(len(one.arrays))
    for at in range(0, len(pairs), TOGETHER):
        outcome = trained_with_tails(pairs[at:at + TOGETHER], counts[at:at + TOGETHER])
        count.add(len(pairs[at:at + TOGETHER]) - outcome.failed)
        for _ in range(outcome.failed):
            count.fail()
        print(f"{outcome.kernels} kernels of entries with tails: "
              + ", ".join(f"{n:,} {what}" for what, n in sorted(outcome.counts.items())))
        assert not outcome.wrong, "\n".join(outcome.wrong)
