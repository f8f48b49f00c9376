"""Options of load_dataset: what may follow a path."""

from __future__ import annotations

from dataclasses import dataclass

from dlc.runtime.data.bundled import CANVAS
from dlc.runtime.data.dataset import HELD_OUT

KINDS = ("idx", "cifar", "csv", "npy", "npz", "text")


@dataclass
class Options:
    """What may follow a path: PATH?target=NAME&test=0.2&scale=255&length=64&size=32&fold=3/10&
    standardize=1&x=FIELD."""

    target: str = "-1"
    test: float = HELD_OUT
    scale: float = 1.0
    length: int = 64
    size: int = CANVAS
    kind: str = ""
    fold: str = ""
    standardize: bool = False
