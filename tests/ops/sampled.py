"""Samples of every operator as graphs: what the generated tests are parametrised over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.ir.graph import Build, Graph, Node, Op, building, make
from dlc.ir.registry import REGISTRY
from dlc.ir.types import TupleType, Type, dtype, f64
from dlc.ops import leaf, tuples


@dataclass(frozen=True)
class Sample:
    """One operator with operands and attributes from its record."""

    op: Op
    number: int
    arrays: tuple[np.ndarray, ...]
    attrs: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.op.name}-{self.number}"

    def in_f64(self) -> Sample:
        """The same with every float operand (and every float dtype attribute) as f64."""
        arrays = tuple(a.astype(np.float64) if a.dtype.kind == "f" else a for a in self.arrays)
        attrs = {k: f64 if getattr(v, "is_float", False) else v for k, v in self.attrs.items()}
        return Sample(self.op, self.number, arrays, attrs)

    def floats(self) -> list[int]:
        """The positions of the operands that can have a gradient."""
        return [i for i, a in enumerate(self.arrays) if a.dtype.kind == "f"]


def read(op: Op) -> list[Sample]:
    """The samples of `op`'s record."""
    assert op.samples is not None
    return [Sample(op, i, tuple(map(np.asarray, arrays)), dict(attrs))
            for i, (arrays, attrs) in enumerate(op.samples())]


SAMPLES = [s for op in REGISTRY.values() for s in read(op)]
SMOOTH = [s for s in SAMPLES if s.op.gradient == "smooth" and s.floats()]


def results_of(graph: Graph, value: Any) -> list[np.ndarray]:
    """What `evaluate` or a program gave for `graph`, as a list in the order of its outputs."""
    if len(graph.outputs) == 1:
        return [np.asarray(value)]
    return [np.asarray(value[name]) for name in graph.output_names]


def inputs_for(arrays: Sequence[np.ndarray]) -> tuple[Node, ...]:
    """An input for each array, of its type."""
    return tuple(leaf.input_(f"x{i}", Type(dtype(a.dtype), a.shape)) for i, a in enumerate(arrays))


def graph_of(sample: Sample) -> Graph:
    """The graph of the single operator, with an output for each of its results."""
    with building(Build()):
        inputs = inputs_for(sample.arrays)
        node = make(sample.op, inputs, **sample.attrs)
        if not isinstance(node.type, TupleType):
            return Graph(sample.op.name, inputs, (node,), ("y",))
        results = tuple(tuples.item(node, i) for i in range(len(node.type.items)))
        return Graph(sample.op.name, inputs, results, tuple(f"y{i}" for i in range(len(results))))
