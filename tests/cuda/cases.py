"""The programs whose CUDA kernels are checked: samples of all operators, gradients, networks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlc.cli.source import load_task
from dlc.derive.autodiff import reverse
from dlc.ir.graph import Build, Graph, building
from dlc.ops import leaf
from dlc.runtime.cuda.ptx import PtxCompiler
from tests.ops.sampled import SAMPLES, SMOOTH, Sample, graph_of

NETWORKS = ("xor", "mlp", "lenet", "ngram", "rnn", "gru", "lstm", "vae", "rbm")


@dataclass(frozen=True)
class Case:
    """A program by name: `make` gives its graph and the arrays that it is run on."""

    name: str
    make: Callable[[], tuple[Graph, tuple[Any, ...]]]


def cases() -> list[Case]:
    """Every sample of every operator, and the gradients of the smooth ones."""
    values = [Case(str(s), lambda s=s: (graph_of(s), s.arrays)) for s in SAMPLES]
    return values + [Case(f"gradient of {s}", lambda s=s: gradient_of(s)) for s in SMOOTH]


def gradient_of(sample: Sample) -> tuple[Graph, tuple[Any, ...]]:
    """The gradient of a sample for ramps as the gradients of its results."""
    with building(Build()):
        graph = graph_of(sample)
        ys = [y for y in graph.outputs if y.dtype.is_float]
        us = [leaf.input_(f"u{i}", y.type) for i, y in enumerate(ys)]
        grads = reverse(dict(zip(ys, us, strict=True)), [graph.inputs[i] for i in sample.floats()])
    ramps = [np.linspace(-1, 1, y.type.size).reshape(tuple(y.shape)).astype(y.dtype.numpy)
             for y in ys]
    names = tuple(f"dx{i}" for i in sample.floats())
    return (Graph(f"grad_{sample.op.name}", (*graph.inputs, *us), tuple(grads), names),
            (*sample.arrays, *ramps))


def networks() -> Iterator[tuple[str, Any]]:
    """The bundled networks whose kernels are compiled."""
    for name in NETWORKS:
        yield name, load_task(name)


def key_of(compiler: PtxCompiler, kernel: Any) -> str:
    """A hash of all that a kernel's PTX is made of: its LLVM text, with the functions it calls."""
    return hashlib.sha256(compiler.source(kernel).encode()).hexdigest()[:16]
