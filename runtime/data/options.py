"""Options of load_dataset: what may follow a path."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dlc.runtime.data.dataset import HELD_OUT, DataError

KINDS = ("idx", "cifar", "csv", "images", "nettalk", "npy", "npz", "text")


@dataclass
class Options:
    """What may follow a path: PATH?target=NAME&test=0.2&scale=255&length=64&size=32&fold=3/10&
    labels=10&standardize=1&classes=5-9&each=10&noise=0.2&unseen=7-9&channels=3&fit=crop&lines=1&lanes=32&
    x=FIELD."""

    target: str = "-1"
    test: float = HELD_OUT
    scale: float = 1.0
    length: int = 64
    size: str = ""
    channels: int = 3
    fit: str = "crop"
    kind: str = ""
    fold: str = ""
    labels: int = 0
    standardize: bool = False
    classes: str = ""
    each: int = 0
    noise: float = 0.0
    unseen: str = ""
    lines: bool = False
    lanes: int = 0


def read_size(source: object, text: str) -> tuple[int, int] | None:
    """(height, width) of "32" or "48x32"; None for "". Raises DataError for others."""
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    size = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if text and not min(size):
        raise DataError(source, "option size", f"{text!r} is no size", "e.g. size=32, or "
                        "size=48x32 (height x width)")
    return size if text else None
