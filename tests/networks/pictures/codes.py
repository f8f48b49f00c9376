"""Pictures of autoencoders, machines with hidden units, memories and language models."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.models import GOALS
from dlc.runtime.data import load_dataset
from tests.networks.pictures.classic import Runs, line
from tests.networks.pictures.sheet import Array, Curves, Panel, Tiles

SHOWN = 8


def images(data: str = "digits8", side: int = 8) -> Array:
    """The first test images of digits of every kind."""
    found = load_dataset(data)
    rows = found.test or found.train
    return np.asarray(rows["image"])[:SHOWN].reshape(-1, side * side)


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def autoencoder(runs: Runs) -> list[Panel]:
    """Test images, and what each network makes of them."""
    given = images()
    shown = {name: trained for name, trained in runs.items() if name != "anomaly"}
    rows = [given, *(np.asarray(trained.network.predict(given.reshape(
        SHOWN, *trained.network.inputs["image"].shape))) for trained in shown.values())]
    tiles = np.clip(np.concatenate([part.reshape(-1, 8, 8) for part in rows]), 0, 1)
    return [Tiles("test images and their reconstructions", tiles, SHOWN,
                  words="images; " + ", ".join(name.partition("_")[0] for name in shown)),
            Curves("mean squared error", "epoch", {
                name: line(trained, "loss", "test") for name, trained in shown.items()})]


def vae(runs: Runs) -> list[Panel]:
    """Samples from the prior, and the way from one code to another."""
    (trained,) = runs.values()
    w1, b1, w2, b2 = (trained.values[f"decode/dense{k}.{part}"]
                      for k in (1, 2) for part in ("weight", "bias"))

    def decoded(code: Array) -> Array:
        return sigmoid(np.maximum(code @ w1 + b1, 0) @ w2 + b2).reshape(-1, 8, 8)

    rng = np.random.default_rng(0)
    codes = rng.normal(size=(32, len(w1)))
    share = np.linspace(0, 1, 8)[:, None]
    ways = [a + (b - a) * share for a, b in zip(codes[0:8:2], codes[1:8:2], strict=True)]
    return [Tiles("drawn from the prior", decoded(codes), 8),
            Tiles("from one code to another", decoded(np.concatenate(ways)), 8),
            Curves("bound in nats", "epoch", {"training": line(trained, "loss"),
                                              "test": line(trained, "loss", "test")})]


def semantic_hashing(runs: Runs) -> list[Panel]:
    """Held-out digits, a row each with those whose codes are nearest, and the share by epoch."""
    (trained,) = runs.values()
    given = np.asarray((load_dataset("digits8").test or {})["image"]).reshape(-1, 64)
    signs = 2 * np.asarray(trained.network.predict(given)) - 1
    alike = signs @ signs.T
    near = [np.argsort(-alike[at], kind="stable") for at in range(SHOWN)]
    rows = [np.r_[at, order[order != at][:SHOWN]] for at, order in enumerate(near)]
    return [Tiles("a digit, and those of the nearest codes",
                  given[np.concatenate(rows)].reshape(-1, 8, 8), SHOWN + 1),
            Curves("precision of the ten nearest", "epoch",
                   {"": line(trained, "precision", "test")}, log=False)]


def rbm(runs: Runs) -> list[Panel]:
    """What its hidden units see, and its likelihood as it learns."""
    weight = next(v for v in runs["rbm"].values.values() if v.ndim == 2 and 16 in v.shape)
    units = (weight.T if weight.shape[0] == 16 else weight).reshape(-1, 4, 4)
    return [Tiles("weights of the hidden units", np.ascontiguousarray(units), 4, True),
            Curves("log-likelihood in nats", "epoch", {
                name: line(trained, "nats", "test") for name, trained in runs.items()})]


def hopfield(runs: Runs) -> list[Panel]:
    """A pattern, corrupted, and what each memory makes of it in a few steps."""
    pattern = np.asarray(load_dataset("memories").train["x"])[:4]
    rng = np.random.default_rng(0)
    broken = np.where(rng.random(pattern.shape) < 0.1, -pattern, pattern)
    panels: list[Panel] = []
    for name, trained in runs.items():
        state = broken
        for _ in range(20):
            state = np.where(state @ trained.values["weight"] >= 0, 1.0, -1.0)
        tiles = np.concatenate([pattern, broken, state]).reshape(-1, 20, 20)
        panels.append(Tiles(f"{name}: stored, corrupted, recalled", tiles, 4))
    return panels


def ngram(runs: Runs) -> list[Panel]:
    (trained,) = runs.values()
    pairs = next(v for name, v in trained.values.items() if name.endswith("counts2"))
    return [Tiles("counts of pairs, logarithmic",
                  np.log1p(pairs)[None, :, :], 1,
                  words="row: a character; column: the next one")]


def bits(runs: Runs) -> list[Panel]:
    """Bits per character of recurrent networks."""
    return [Curves("bits per character, held-out text", "epoch", {
        name: line(trained, "bits", "test") for name, trained in runs.items()}, log=False)]


def logistic(runs: Runs) -> list[Panel]:
    return [Curves(f"{name}: loss and accuracy", "iteration", {
        part: line(trained, part) for part in ("loss", "accuracy")}, log=False)
        for name, trained in runs.items() if name in GOALS]


DRAWERS: dict[str, Any] = {"autoencoder": autoencoder, "vae": vae, "rbm": rbm,
                           "semantic_hashing": semantic_hashing,
                           "hopfield": hopfield, "ngram": ngram, "characters": bits,
                           "logistic": logistic, "gpt": bits, "recurrent": bits}
