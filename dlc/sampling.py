"""Samples of a trained network that draws random numbers: Network.sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.errors import DlcError, here

if TYPE_CHECKING:
    from dlc.network import Network

SEEDS = 1 << 32
SAMPLES = "samples"  # the output of a network that names what it draws


def sample(network: Network, count: int, seed: int, given: Mapping[str, Any]) -> Any:
    """See Network.sample."""
    network = sampler(network)
    state = drawn_from(network)
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise DlcError(f"sample: {count!r} samples", here(), "a whole number, 1 or more")
    if not isinstance(seed, int) or not 0 <= seed < SEEDS:
        raise DlcError(f"sample: seed {seed!r}", here(), f"a whole number below {SEEDS}")
    rows = {name: repeated(name, in_words(network, name, value), count)
            for name, value in given.items()}
    return network.drawn(count, rows, lambda number: {
        label: dtype.type(seed if label == "seed" else number) for label, dtype in state.items()})


def sampler(network: Network) -> Network:
    """The network that gives the samples a task names (dlc.loss(..., samples=value)), made once;
    `network` itself where it names none, or where other values are asked for."""
    graph = network.definition.graph(network.blocks[0], network.definition.levels[-1])
    if network.wanted != ("prediction",) or SAMPLES not in graph.output_names:
        return network
    if network.drawing is None:
        network.drawing = type(network)(network.definition, network.values, network.source,
                                        (SAMPLES,))
    return network.drawing


def drawn_from(network: Network) -> dict[str, np.dtype[Any]]:
    """The state that random numbers follow from, the seed and the counts of steps, by name.

    Raises DlcError for a network that draws none.
    """
    inputs = {n.attrs["label"]: n for n in network.graph(network.blocks[0]).inputs
              if n.attrs["role"] == "state" and not n.ndim and n.dtype.is_integer}
    if "seed" not in inputs:
        raise DlcError(f"sample: {network.name} draws no random numbers", here(),
                       "its answers follow from its inputs: net.predict(rows)")
    return {label: np.dtype(n.dtype.numpy) for label, n in inputs.items()
            if label.rpartition(".")[2] in ("seed", "step")}


def in_words(network: Network, name: str, value: Any) -> Any:
    """A text for an input whose numbers stand for words, as numbers; anything else as it is."""
    from dlc.runtime.data.words import in_numbers

    if name not in network.inputs:
        return value
    return in_numbers(value, name, network.words, network.inputs[name].size, network.name)


def repeated(name: str, value: Any, count: int) -> np.ndarray[Any, Any]:
    """What samples are conditioned on, a row for each: one row stands for all."""
    rows = np.asarray(value)
    if rows.ndim and len(rows) == 1:
        rows = np.repeat(rows, count, 0)
    if not rows.ndim or len(rows) != count:
        told = f"has {len(rows)} rows" if rows.ndim else "has no axis"
        raise DlcError(f"sample: {name} {told}, for {count} samples", here(),
                       f"a row for each, or one for all: {name}=[value]")
    return rows
