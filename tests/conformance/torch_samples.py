"""torch's OpInfo samples as cases: arrays in, what PyTorch computes from them, its gradients."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils import _pytree as pytree

from tests.conformance.torch_unique import UNIQUE

torch.set_num_threads(1)  # the samples are small: threads cost more than they give
SEED = 20260  # of torch's generators, before every operator's samples
KEEP_OF_MANY = 150  # an operator with more samples is thinned to this many, by SEED


@dataclass(frozen=True)
class Case:
    """One sample: `call(adapter, leaves)` applies an adapter to arrays or nodes as torch was.

    `arrays` are its tensors, `smooth` the positions of those with a gradient. `outputs` are the
    floats and integers that PyTorch gives; `cotangents` go with those in `graded`, and `gradients`
    are what comes back for `smooth` (empty where PyTorch differentiates nothing). `exact` gives
    both from float64, by name.
    """

    name: str
    number: int
    arrays: tuple[np.ndarray, ...]
    smooth: tuple[int, ...]
    call: Callable[[Callable[..., Any], list[Any]], Any]
    outputs: tuple[np.ndarray, ...] = ()
    graded: tuple[int, ...] = ()
    cotangents: tuple[np.ndarray, ...] = ()
    gradients: tuple[np.ndarray, ...] = ()
    exact: Callable[[], dict[str, np.ndarray]] = dict

    def expected(self) -> dict[str, np.ndarray]:
        """Outputs as y0, y1, ... and gradients as d0, d1, ..."""
        return {**{f"y{i}": y for i, y in enumerate(self.outputs)},
                **{f"d{i}": d for i, d in enumerate(self.gradients)}}

    def __str__(self) -> str:
        return f"{self.name}-{self.number}"


@cache
def infos() -> dict[str, Any]:
    """OpInfo by name, variants as name/variant."""
    return {f"{op.name}/{op.variant_test_name}".rstrip("/"): op for op in op_db}


def array(tensor: torch.Tensor) -> np.ndarray:
    """The values of a tensor, whatever its strides."""
    if tensor.dtype is torch.bfloat16:
        return array(tensor.detach().contiguous().view(torch.int16)).view(ml_dtypes.bfloat16)
    return np.array(tensor.detach().numpy(force=True), order="C")


def seeded(name: str) -> np.random.Generator:
    """Seed torch for the samples of `name`; a generator of the same seed."""
    torch.manual_seed(SEED)
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


def structure(sample: Any) -> tuple[list[Any], Any]:
    """(leaves, rebuild) of a SampleInput: rebuild gives (args, kwargs) again."""
    return pytree.tree_flatten(((sample.input, *sample.args), sample.kwargs))


def caller(leaves: list[Any], spec: Any, places: list[int]) -> Callable[..., Any]:
    """Call a function as the sample says, with other values for its tensors."""
    def call(function: Callable[..., Any], values: list[Any]) -> Any:
        full = list(leaves)
        for place, value in zip(places, values, strict=True):
            full[place] = value
        args, kwargs = pytree.tree_unflatten(full, spec)
        return function(*args, **kwargs)

    return call


def cases(name: str, dtype: torch.dtype = torch.float32) -> Iterator[Case]:
    """The samples of the operator `name`, each with what PyTorch makes of it."""
    op = infos()[name]
    rng = seeded(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graded = op.supports_autograd and dtype.is_floating_point
        samples = list(op.sample_inputs("cpu", dtype, requires_grad=graded))
        kept = np.sort(rng.permutation(len(samples))[:KEEP_OF_MANY])
        for number in kept:
            yield evaluated(op, name, int(number), samples[number], rng)


def evaluated(op: Any, name: str, number: int, sample: Any, rng: np.random.Generator) -> Case:
    """The case of one sample, with values and gradients by PyTorch."""
    leaves, spec = structure(sample)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
    tensors = [leaves[i] for i in places]
    call = caller(leaves, spec, places)
    results = results_of(op, call, tensors)
    outputs = tuple(array(torch.as_tensor(r)) for r in results)
    graded = tuple(i for i, r in enumerate(results)
                   if isinstance(r, torch.Tensor) and r.requires_grad)
    smooth = tuple(i for i, t in enumerate(tensors) if t.requires_grad) if graded else ()
    cotangents = tuple(np.asarray(rng.uniform(-1, 1, results[i].shape), outputs[i].dtype)
                       for i in graded)
    gradients = pulled(results, tensors, graded, smooth, cotangents)

    def exact() -> dict[str, np.ndarray]:
        wide = [t.detach().double().requires_grad_(t.requires_grad) if t.dtype is torch.float32
                else t for t in tensors]
        found = results_of(op, call, wide)
        grads = pulled(found, wide, graded, smooth, cotangents)
        return Case(name, number, (), (), call, tuple(array(torch.as_tensor(r)) for r in found),
                    gradients=grads).expected()

    return Case(name, number, tuple(map(array, tensors)), smooth, call, outputs, graded,
                cotangents, gradients, exact)


def results_of(op: Any, call: Callable[..., Any], tensors: list[Any]) -> list[Any]:
    """What the operator gives for `tensors`, as a flat list."""
    name = f"{op.name}/{op.variant_test_name}".rstrip("/")
    return [r for r in pytree.tree_leaves(call(UNIQUE.get(name, op.op), tensors)) if r is not None]


def pulled(results: list[Any], tensors: list[Any], graded: tuple[int, ...],
           smooth: tuple[int, ...], cotangents: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
    """The gradients of `smooth` by torch.autograd; zeros where it gives none."""
    if not graded:
        return ()
    outs, ins = [results[i] for i in graded], [tensors[i] for i in smooth]
    given = [torch.from_numpy(c.astype(np.float64)).to(o.dtype)
             for c, o in zip(cotangents, outs, strict=True)]
    found = torch.autograd.grad(outs, ins, given, allow_unused=True)
    return tuple(np.zeros(t.shape, array(t).dtype) if g is None else array(g)
                 for t, g in zip(ins, found, strict=True))


def error_cases(name: str) -> Iterator[tuple[Case, str]]:
    """Samples that PyTorch refuses, with the pattern of its message."""
    op = infos()[name]
    if op.error_inputs_func is None:
        return
    torch.manual_seed(SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, error in enumerate(op.error_inputs("cpu")):
            leaves, spec = structure(error.sample_input)
            places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, torch.Tensor)]
            if any(leaves[i].ndim > 64 for i in places):
                continue  # NumPy has no such array either
            arrays = tuple(array(leaves[i]) for i in places)
            call = caller(leaves, spec, places)
            yield Case(name, number, arrays, (), call), str(error.error_regex)
