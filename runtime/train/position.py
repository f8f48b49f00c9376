"""The position in training and its identity: a checkpoint's record, checked when it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

LARGEST = 2**62  # counts are i64 in native code


@dataclass
class Position:
    """Where training stands: everything beside the arrays that resuming needs.

    `epoch` epochs are complete; in the next one `batches` batches are done, whose metrics (sums
    weighted by samples) are in `partial`. The order of samples and all random numbers are
    functions of (seed, epoch, step), so no generator state is stored. `history` has one record an
    epoch. `best` is the best value of the monitored metric, at epoch `best_epoch`.
    """

    step: int = 0
    epoch: int = 0
    batches: int = 0
    partial: dict[str, list[float]] = field(default_factory=dict)
    samples: int = 0
    best: float | None = None
    best_epoch: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to. A resume with another `task`, `seed` or `batch` is refused.

    `task` says what is trained on what data, a line each, made by whoever starts the training; the
    first line that differs is told. Another `learning_rate`, or other `epochs`, is told alone.
    """

    model: str
    task: str
    seed: int
    batch: int
    learning_rate: str = ""
    epochs: int = 0


def read_record(record: Mapping[str, Any]) -> tuple[Identity, Position, Mapping[str, Any]]:
    """What a checkpoint says beside its arrays: identity, position, network.

    Raises KeyError or TypeError for a field that is missing, unknown, or not of its kind.
    """
    identity, position = Identity(**record["identity"]), Position(**record["position"])
    check_fields(identity, model=is_text, task=is_text, seed=is_count, batch=is_count,
                 learning_rate=is_text, epochs=is_count)
    check_fields(position, step=is_count, epoch=is_count, batches=is_count, partial=is_partial,
                 samples=is_count, best=is_number_or_none, best_epoch=is_count, history=is_history)
    network = record.get("network", {})  # files of earlier versions have none
    if not is_network(network):
        raise TypeError("network does not fit")
    return identity, position, network


def check_fields(thing: object, **kinds: Callable[[Any], bool]) -> None:
    """TypeError unless every field of `thing` is of its kind."""
    for name, fits in kinds.items():
        if not fits(getattr(thing, name)):
            raise TypeError(f"{name} does not fit")


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < LARGEST


def is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < LARGEST)


def is_number_or_none(value: Any) -> bool:
    return value is None or is_number(value)


def are_metrics(value: Any, fits: Callable[[Any], bool]) -> bool:
    """A value for each metric; what their names hold, a terminal can show."""
    return isinstance(value, dict) and all(k.isprintable() and fits(v) for k, v in value.items())


def is_partial(value: Any) -> bool:
    """Metric -> [weighted sum, weight]."""
    return are_metrics(value, lambda pair: isinstance(pair, list) and len(pair) == 2 and all(
        map(is_number, pair)))


def is_network(value: Any) -> bool:
    """Nothing, or graphs as text by the number of rows that they take (and the sizes of dimensions
    with a bound), the text and line of each of their run-time checks, the names of classes, and
    the words of inputs that are texts."""
    if value == {}:
        return True
    fields = {"blocks", "checks", "classes"}
    return (isinstance(value, dict) and value.keys() - {"varying", "words"} == fields
            and isinstance(value["blocks"], dict) and bool(value["blocks"])
            and is_varying(value.get("varying", {})) and are_words(value.get("words", {}))
            and all(are_sizes(k, 1 + len(value.get("varying", {}))) and is_text(text)
                    for k, text in value["blocks"].items())
            and isinstance(value["classes"], list) and all(map(is_text, value["classes"]))
            and isinstance(value["checks"], list)
            and all(isinstance(c, dict) and c.keys() == {"text", "loc"}
                    and all(map(is_text, c.values())) for c in value["checks"]))


def are_words(value: Any) -> bool:
    """Words in the order of their numbers, by input."""
    return isinstance(value, dict) and all(
        isinstance(words, list) and bool(words) and all(map(is_text, words))
        for words in value.values())


def are_sizes(text: Any, count: int) -> bool:
    """Whether `text` says `count` numbers from 1: 8, 16x32."""
    parts = text.split("x")
    return len(parts) == count and all(
        part.isascii() and part.isdigit() and 0 < int(part) < LARGEST for part in parts)


def is_varying(value: Any) -> bool:
    """Dimensions with a bound, as a task's meta data have them."""
    return isinstance(value, dict) and all(
        isinstance(v, dict) and v.keys() == {"most", "inputs"} and is_count(v["most"])
        and isinstance(v["inputs"], dict) and bool(v["inputs"])
        and all(is_count(axis) and axis > 0 for axis in v["inputs"].values())
        for v in value.values())


def is_history(value: Any) -> bool:
    return isinstance(value, list) and all(map(is_epoch, value))


def is_epoch(value: Any) -> bool:
    """One epoch's line of the history, as the training loop writes it."""
    return (isinstance(value, dict)
            and value.keys() == {"epoch", "step", "train", "test", "step_ms", "samples"}
            and all(is_count(value[name]) for name in ("epoch", "step", "samples"))
            and are_metrics(value["train"], is_number) and is_number_or_none(value["step_ms"])
            and (value["test"] is None or are_metrics(value["test"], is_number)))
