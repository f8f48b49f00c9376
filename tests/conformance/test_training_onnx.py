"""The ONNX package's node tests in training mode: float inputs are parameters, as in test_training.

The peer is PyTorch's autograd in f64 over the imported graph (torch_graph.py), whose values
test_onnx.py holds to what the node tests expect; derivatives are none of dlc's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

import dlc
from dlc.ir.graph import Graph
from dlc.ir.types import Type, dtype
from tests.conformance import cut
from tests.conformance.mutations import MUTATIONS, mutated
from tests.conformance.onnx_cases import Case, cases
from tests.conformance.test_training import named, train, why
from tests.conformance.torch_graph import run
from tests.conformance.training import (
    NO_GRADIENT,
    Array,
    Refused,
    Slope,
    Subject,
    slope,
    task_of,
    trial,
)

pytestmark = pytest.mark.conformance
SEED = 20262
NO_FLOAT = "no input is a float"
NONE = (NO_FLOAT, NO_GRADIENT)
TAKEN = [c for c in cases() if not c.excluded]


@dataclass
class Imported:
    """A node test's model at any shapes of its inputs; what must be known are constants."""

    case: Case
    constants: dict[str, Array]
    inputs: tuple[str, ...]
    models: dict[Any, tuple[dlc.onnx.Model, Graph]] = field(default_factory=dict)

    def at(self, shapes: Sequence[Sequence[int]], kinds: Sequence[Any]) -> tuple[Any, Graph]:
        """The model and its graph for inputs of these shapes and NumPy dtypes."""
        key = tuple(tuple(map(int, s)) for s in shapes)
        if key not in self.models:
            model = dlc.onnx.load(self.case.data, constants=self.constants,
                                  shapes=dict(zip(self.inputs, key, strict=True)))
            types = [Type(dtype(k), s) for k, s in zip(kinds, key, strict=True)]
            self.models[key] = model, dlc.trace(model, *types)
        return self.models[key]


def subject_of(case: Case) -> Subject:
    """A node test as a function in both languages. Raises Refused where no input is a float."""
    arrays = case.sets[0][0]
    model = case.model(arrays)
    names = tuple(model.arguments[w] for w in model.inputs)
    given = tuple(np.asarray(arrays[n]) for n in names)
    kinds = [a.dtype for a in given]
    smooth = tuple(i for i, a in enumerate(given) if a.dtype == np.float32)
    if not smooth:
        raise Refused(NO_FLOAT)
    made = Imported(case, {n: a for n, a in arrays.items() if n not in names}, names)

    def ours(xs: list[Any]) -> list[Any]:
        found = made.at([x.shape for x in xs], kinds)[0](*xs)
        return list(found) if isinstance(found, tuple) else [found]

    def theirs(xs: list[torch.Tensor]) -> list[Any]:
        graph = made.at([x.shape for x in xs], kinds)[1]
        found = dict(zip(graph.output_names, run(graph, xs), strict=True))
        if int(found.pop("fault", 0)):
            raise ValueError("a run-time check refuses the data")
        return list(found.values())

    return Subject(case.name, given, smooth, ours, theirs, kind=torch.float64)


class Narrow(TorchFunctionMode):
    """Every float that an operator of PyTorch gives is f32, as constants of a graph are not."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (),
                           kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        return tree_map(lambda x: x.float() if isinstance(x, torch.Tensor)
                        and x.dtype is torch.float64 else x, found)


def peer(subject: Subject, arrays: Sequence[Array], kind: torch.dtype) -> Slope:
    """In f64 as torch_graph.py has it, and operator by operator in f32."""
    if kind is torch.float64:
        return slope(subject, arrays, kind)
    with Narrow():
        return slope(subject, arrays, kind)


def changed(case: Case, change: str) -> Subject | str:
    """The node test with a change, or why it is left out."""
    rng = np.random.default_rng([SEED, zlib.crc32(f"{case.name} {change}".encode())])
    try:
        plain = trial(subject_of(case), rng)
        one = mutated(plain, change, rng)
        task_of([one]).graphs(kinds=("train",))
    except Refused as problem:
        return str(problem) if str(problem) in NONE else why(problem, change)
    except dlc.DlcError as problem:
        return why(problem, change)
    return one


def groups(each: int) -> list[list[str]]:
    """Node tests that share a test, of those that run; operators as functions of others, which mean
    what the plain ones do, in a full run."""
    names = cut.chosen("onnx training", [c.name for c in TAKEN
                                         if cut.FULL or not c.name.endswith("_expanded")])
    return [names[i:i + each] for i in range(0, len(names), each)]


@pytest.mark.parametrize("names", groups(20 if cut.FULL else 40), ids=named)
def test_training_compiled(names: Sequence[str], tally: Callable[[str], cut.Tally]) -> None:
    """In the cut each with the change whose turn it is, in a full run with every change."""
    found: list[Subject | str] = []
    for case in (c for c in TAKEN if c.name in names):
        turn = (cut.SEED + zlib.crc32(case.name.encode())) % len(MUTATIONS)
        found += [changed(case, change) for i, change in enumerate(MUTATIONS)
                  if cut.FULL or i == turn]
    train(found, tally("ONNX nodes, training"), peer)
