"""torch's random operators: shapes and dtypes exact, and each element's distribution the same."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import dlc
from dlc import i32
from dlc.errors import DlcError
from dlc.ir.types import Type, dtype
from tests.conformance.adapters.random import RANDOM
from tests.conformance.cut import Tally
from tests.conformance.test_opinfo_errors import stores
from tests.conformance.torch_samples import SEED, Case, array, caller, error_cases, infos, structure

pytestmark = pytest.mark.conformance
COUNT = 10000
# the largest distance of two empirical distributions of COUNT that one of 10^8 right ones exceeds
FAR = math.sqrt(math.log(2e8) / COUNT)


def samples(name: str) -> list[tuple[Callable[..., Any], list[torch.Tensor]]]:
    """(call, tensors) of each sample: call(function, values) applies it as the sample says."""
    torch.manual_seed(SEED)
    found = []
    for sample in infos()[name].sample_inputs("cpu", torch.float32):
        leaves, spec = structure(sample)
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
        found.append((caller(leaves, spec, places), [leaves[i] for i in places]))
    return found


# OpInfo's own calls set the same seed each time
PLAIN: dict[str, Callable[..., Any]] = {
    "bernoulli": torch.bernoulli, "uniform": torch.Tensor.uniform_, "normal": torch.normal,
    "normal/in_place": torch.Tensor.normal_, "normal/number_mean": torch.normal,
    "rand_like": torch.rand_like, "randn_like": torch.randn_like}


def by_torch(name: str, call: Callable[..., Any], tensors: list[torch.Tensor]) -> np.ndarray:
    """COUNT results of PyTorch's operator."""
    op = PLAIN[name]
    return np.stack([array(call(op, [t.clone() for t in tensors])) for _ in range(COUNT)])


def by_dlc(name: str, call: Callable[..., Any], tensors: list[torch.Tensor]) -> np.ndarray:
    """COUNT results of dlc's, one for each example of vmap."""
    def one(_: Any, *given: Any) -> Any:
        return call(RANDOM[name], list(given))

    def many(number: Any, *given: Any) -> Any:
        return dlc.vmap(one, in_axes=(0, *[None] * len(given)))(number, *given)

    arrays = [array(t) for t in tensors]
    graph = dlc.trace(many, i32[COUNT], *(Type(dtype(a.dtype), a.shape) for a in arrays))
    own = {"seed": np.uint32(SEED), "step": np.int32(0)}
    rest = iter([np.zeros(COUNT, np.int32), *arrays])
    given = [own[n.attrs["label"]] if n.attrs["label"] in own else next(rest)
             for n in graph.inputs]
    return np.asarray(dlc.evaluate(graph, *given))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov and Smirnov's distance of two samples."""
    places = np.concatenate([a, b])
    first = np.searchsorted(np.sort(a), places, side="right") / a.size
    second = np.searchsorted(np.sort(b), places, side="right") / b.size
    return float(np.abs(first - second).max())


@pytest.mark.parametrize("name", RANDOM)
def test_distributions_evaluated(name: str, tally: Callable[[str], Tally]) -> None:
    """Each element of each sample; and no two elements of one array are the same numbers."""
    counts = tally("torch OpInfo, random")
    for number, (call, tensors) in enumerate(samples(name)):
        want, got = by_torch(name, call, tensors), by_dlc(name, call, tensors)
        assert (got.shape, got.dtype) == (want.shape, want.dtype), f"{name}-{number}"
        flat_got, flat_want = got.reshape(COUNT, -1), want.reshape(COUNT, -1)
        for i in range(flat_got.shape[1]):
            far = distance(flat_got[:, i], flat_want[:, i])
            assert far < FAR, f"{name}-{number}, element {i}: distance {far}"
        if flat_got.shape[1] > 1:
            assert not (flat_got == flat_got[:, :1]).all()
        counts.add()


def refused(case: Case) -> bool:
    """Whether dlc answers the input with an error."""
    types = [Type(dtype(a.dtype), a.shape) for a in case.arrays]
    try:
        dlc.trace(lambda *given: case.call(RANDOM[case.name], list(given)), *types)
    except DlcError:
        return True
    return False


def test_what_torch_refuses() -> None:
    """A range from high to low, a negative deviation; out= and mixed devices apart."""
    wrong, count = [], 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in RANDOM:
            for case, pattern in error_cases(name):
                if case.call(stores, list(case.arrays)):
                    continue
                count += 1
                if not refused(case):
                    wrong.append(f"{case}: {pattern}")
    assert count >= 2
    assert not wrong, "\n".join(wrong)
