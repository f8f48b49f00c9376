"""Several networks asked as one, and the samples that bagging trains them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.errors import DlcError, here
from dlc.network import Network

if TYPE_CHECKING:
    from dlc.runtime.data.dataset import Dataset

Array = np.ndarray[Any, Any]


def bootstrap(data: Any, seed: int = 0) -> Dataset:
    """`data` with as many training rows drawn from its own with replacement: some 63 % of them,
    many twice and more (Efron 1979; for bagging, Breiman 1996). What is held out stays.

    `data` is what task.train takes. Raises DlcError for a stream and for a seed below 0.
    """
    from dlc.runtime.data import load_dataset

    dataset = load_dataset(data)
    if not dataset.in_memory:
        raise DlcError(f"dlc.bootstrap: {dataset.name} is a stream", here(),
                       "rows are drawn from arrays: a dict of them, a file, the name of a data set")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise DlcError(f"dlc.bootstrap: seed={seed!r}", here(), "a whole number from 0")
    rows = np.random.default_rng(seed).integers(0, dataset.samples, dataset.samples)
    return replace(dataset, name=f"{dataset.name}, sample {seed}",
                   train={k: v[rows] for k, v in dataset.train.items()})


class Ensemble:
    """Networks whose predictions are averaged; made by `dlc.ensemble`."""

    def __init__(self, networks: Sequence[Network], each: Callable[[Array], Array] | None) -> None:
        self.networks = tuple(networks)
        self.each = each

    def predict(self, *args: Any, **named: Any) -> Array:
        """The mean of what the networks say of the rows, which are given as to one of them.

        Raises DlcError where their predictions differ in shape.
        """
        found = [self._said(net.predict(*args, **named)) for net in self.networks]
        shapes = dict.fromkeys(f.shape for f in found)
        if len(shapes) > 1:
            raise DlcError(f"dlc.ensemble: predictions of {' and '.join(map(str, shapes))}", here(),
                           "networks of one task, or of one kind of answer")
        # in f64, so that the order of the networks rounds nothing that f32 tells
        return np.asarray(np.mean(found, 0), found[0].dtype)

    __call__ = predict

    def _said(self, prediction: Any) -> Array:
        if not isinstance(prediction, np.ndarray):
            raise DlcError("dlc.ensemble: a network gives several values", here(),
                           "ask each for one: dlc.outputs(net, NAME)")
        wide = prediction.astype(np.float64)
        said = wide if self.each is None else np.asarray(self.each(wide))
        return said.astype(prediction.dtype if prediction.dtype.kind == "f" else np.float32)

    def __repr__(self) -> str:
        return f"<ensemble of {len(self.networks)}: {', '.join(n.name for n in self.networks)}>"


def ensemble(networks: Sequence[Network],
             each: Callable[[Array], Array] | None = None) -> Ensemble:
    """Several networks asked as one: `predict` gives the mean of their predictions (Breiman 1996).

    `each` is a NumPy function of one network's prediction that is applied before: where they are
    logits, a softmax averages probabilities. Raises DlcError for no networks.
    """
    listed = list(networks) if isinstance(networks, (list, tuple)) else []
    if not listed or not all(isinstance(n, Network) for n in listed):
        raise DlcError(f"dlc.ensemble: {networks!r} is no list of networks", here(),
                       'e.g. dlc.ensemble([dlc.load("runs/a"), dlc.load("runs/b")])')
    if each is not None and not callable(each):
        raise DlcError(f"dlc.ensemble: each={each!r} is not a function", here(),
                       "a NumPy function of a prediction")
    return Ensemble(listed, each)
