"""Which panels show the networks of a file: its own drawer, else curves, filters and samples."""

from __future__ import annotations

import numpy as np

from dlc.models import GOALS
from tests.networks.pictures.classic import DRAWERS as CLASSIC
from tests.networks.pictures.classic import Runs, line
from tests.networks.pictures.codes import DRAWERS as CODES
from tests.networks.pictures.convolutional import DRAWERS as CONVOLUTIONAL
from tests.networks.pictures.generators import DRAWERS as GENERATORS
from tests.networks.pictures.sheet import Curves, Panel, Tiles

DRAWERS = {**CLASSIC, **CODES, **CONVOLUTIONAL, **GENERATORS}
FILTERS = 16


def panels(file: str, runs: Runs) -> list[Panel]:
    """The panels of a file's picture."""
    if file in DRAWERS:
        found: list[Panel] = DRAWERS[file](runs)
        return found
    return [*curves(runs), *filters(runs)][:4]


def curves(runs: Runs) -> list[Panel]:
    """The metric of each network's goal by epoch, on the data that the goal is of."""
    parts: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for name, trained in runs.items():
        metric = GOALS[name].metric
        held_out = line(trained, metric, "test")
        parts.setdefault(metric, {})[name] = held_out if held_out[0] else line(trained, metric)
    return [Curves(metric.rpartition(".")[2], "epoch",
                   part if len(runs) > 1 else {"": next(iter(part.values()))})
            for metric, part in parts.items()]


def filters(runs: Runs) -> list[Panel]:
    """First-layer filters of convolutions, or weights over the pixels of a square picture."""
    for name, trained in runs.items():
        for weight in trained.values.values():
            if weight.ndim == 4 and weight.shape[1] == 1 and min(weight.shape[2:]) > 2:
                return [Tiles(f"filters of {name}", weight[:FILTERS, 0], 4, True)]
            if weight.ndim == 2 and weight.shape[0] in (64, 784) and weight.shape[1] >= FILTERS:
                side = int(weight.shape[0] ** 0.5)
                units = weight.T[:FILTERS].reshape(-1, side, side)
                return [Tiles(f"first units of {name}", np.ascontiguousarray(units), 4, True)]
    return []
