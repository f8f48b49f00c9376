"""Pictures of generators, of the truck's paths, and of what a U-Net finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlc.runtime.data import load_dataset
from dlc.task_training import Trained
from tests.networks.pictures.classic import Runs, line
from tests.networks.pictures.sheet import Array, Curves, Panel, Tiles

SHOWN = 40


def answered(trained: Trained, count: int) -> tuple[Mapping[str, Array], Array]:
    """(the first rows of the test data, what the network makes of them)."""
    data = load_dataset(trained.task.data)
    rows = {name: np.asarray(a)[:count] for name, a in (data.test or data.train).items()}
    given = {name: rows[name].reshape(count, *type_.shape)
             for name, type_ in trained.network.inputs.items()}
    return rows, np.asarray(trained.network.predict(**given))


def drawn(trained: Trained) -> tuple[Mapping[str, Array], Array]:
    """(the conditions that samples were drawn for, samples)."""
    data = load_dataset(trained.task.data)
    rows = {name: np.asarray(a)[:SHOWN] for name, a in (data.test or data.train).items()}
    given = {name: rows[name] for name in trained.network.inputs}
    shown = {"label": rows["label"]} if given and "label" in rows else {}
    return shown, np.asarray(trained.network.sample(SHOWN, **given))


def samples(runs: Runs) -> list[Panel]:
    """Samples in the order of the classes, where there are any, and the score by epoch."""
    panels: list[Panel] = []
    for name, trained in runs.items():
        rows, made = drawn(trained)
        side = int((made[0].size) ** 0.5)
        order = np.argsort(rows["label"], kind="stable") if "label" in rows else slice(None)
        panels.append(Tiles(f"drawn from {name}", np.clip(
            made.reshape(-1, side, side)[order], 0, 1), 8))
    scored = {name: line(trained, "accuracy" if name in ("caption_gan", "diffusion") else "score",
                         "test") for name, trained in runs.items()}
    metric = "share that a classifier names right" if "accuracy" in next(
        iter(runs.values())).metrics else "inception score of a digit classifier"
    return [*panels, Curves(metric, "epoch", scored if len(runs) > 1 else {
        "": next(iter(scored.values()))}, log=False)]


def dense(values: Mapping[str, Array], name: str, x: Array) -> Array:
    """Two dense layers with tanh between them."""
    w1, b1, w2, b2 = (values[f"{name}/dense{k}.{part}"] for k in (1, 2)
                      for part in ("weight", "bias"))
    return np.asarray(np.tanh(x @ w1 + b1) @ w2 + b2)


def truck(runs: Runs) -> list[Panel]:
    """Paths of the trailer's rear from eight starts, and the share that docks."""
    (trained,) = runs.values()
    state = np.asarray(load_dataset("yard").test["start"], np.float64)[:8]
    path = [state]
    for _ in range(50):
        angle = np.radians(70) * np.tanh(dense(trained.values, "controller", state))[:, 0]
        x, y, trailer, cab = state.T
        forth, side = 0.2 * np.cos(angle), 0.2 * np.sin(angle)
        along, across = forth * np.cos(cab - trailer), forth * np.sin(cab - trailer)
        after = np.stack([x - along * np.cos(trailer), y - along * np.sin(trailer),
                          trailer - np.arctan(across / 1.4), cab - np.arctan(side / 0.6)], 1)
        state = np.where(x[:, None] <= 0, state, after)
        path.append(state)
    ways = np.stack(path, 1)
    return [Paths("paths of the trailer's rear to the dock", ways[:, :, 0], ways[:, :, 1]),
            Curves("share that docks", "epoch", {"": line(trained, "docked", "test")})]


class Paths(Curves):
    """Lines of one colour each without names."""

    def __init__(self, title: str, xs: Array, ys: Array) -> None:
        lines = {str(k): (x.tolist(), y.tolist()) for k, (x, y) in enumerate(
            zip(xs, ys, strict=True))}
        super().__init__(title, "distance from the dock", lines, log=False, named=False)


def unet(runs: Runs) -> list[Panel]:
    (trained,) = runs.values()
    rows, logits = answered(trained, 6)
    found = logits.argmax(-1) / 2
    tiles = np.concatenate([rows["image"].reshape(-1, 32, 32), rows["mask"] / 2, found])
    return [Tiles("images, their masks, what is found", np.clip(tiles, 0, 1), 6),
            Curves("intersection over union", "epoch", {"": line(trained, "iou", "test")})]


DRAWERS: dict[str, Any] = {"gan": samples, "dcgan": samples, "caption_gan": samples,
                           "diffusion": samples, "truck": truck, "unet": unet}
