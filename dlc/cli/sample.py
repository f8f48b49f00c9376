"""`dlc sample FILE --weights CHECKPOINT`: text that a trained network goes on with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.cli.arguments import UsageError
from dlc.cli.source import load_task, user_code
from dlc.cli.streams import say

if TYPE_CHECKING:
    from dlc.network import Network

Numbers = np.ndarray[Any, Any]


def run(options: argparse.Namespace) -> int:
    """Write the prompt and what the network goes on with, character by character."""
    from dlc.network import load

    task = load_task(options.file)
    with user_code():
        net = load(options.weights, task)
        window = text_window(net)
        codes = encoded(net, options.prompt)
        refuse_lookahead(net, codes, window)
        written = continued(net, codes, window, options)
    say("".join(net.classes[code] for code in written))
    return 0


def text_window(net: Network) -> int:
    """How many characters the network sees. Raises UsageError for one that predicts no text."""
    types = list(net.inputs.values())
    letters = bool(net.classes) and all(len(name) == 1 for name in net.classes)
    said = net.graph(net.blocks[0]).outputs[0]
    if len(types) != 1 or types[0].ndim != 1 or not types[0].dtype.is_integer or not letters or (
            tuple(map(int, said.shape[1:])) != (int(types[0].shape[0]), len(net.classes))):
        takes = ", ".join(f"{k}: {t}" for k, t in net.inputs.items())
        raise UsageError(f"{net.name} is not a text model: it takes {takes} and returns "
                         f"{said.type}\n  a text model takes i32[length] and returns a score for "
                         "each of its characters at each position: f32[length, characters]")
    return int(types[0].shape[0])


def encoded(net: Network, prompt: str) -> list[int]:
    """The prompt as numbers of characters; the first of them where it is empty. Raises UsageError
    for a character that the training text did not have."""
    places = {letter: number for number, letter in enumerate(net.classes)}
    unknown = sorted({letter for letter in prompt if letter not in places})
    if unknown:
        raise UsageError(f"--prompt: {net.name} does not know {unknown[0]!r}\n  its characters are "
                         f"{''.join(net.classes)!r}")
    return [places[letter] for letter in prompt] or [places.get("\n", 0)]


def refuse_lookahead(net: Network, codes: list[int], window: int) -> None:
    """Raise UsageError when what is said at a place depends on the characters behind it."""
    seen = codes[-window:]
    if len(seen) == window:
        seen = seen[:-1]
    if not seen:
        return
    ends = [np.array([seen + [code] * (window - len(seen))]) for code in (0, len(net.classes) - 1)]
    said = [net.predict(end)[0, len(seen) - 1] for end in ends]
    if said[0].tobytes() != said[1].tobytes():
        raise UsageError(f"{net.name} looks ahead: its prediction at a position depends on later "
                         "characters\n  a text model must only look back: use a causal mask or a "
                         "recurrent layer")


def continued(net: Network, codes: list[int], window: int,
              options: argparse.Namespace) -> list[int]:
    """`codes` and as many more as are asked for, each drawn from what the network says of the last
    `window` characters."""
    rng = np.random.Generator(np.random.Philox(key=options.seed))
    written = list(codes)
    for _ in range(options.length):
        seen = written[-window:]
        row = np.array([seen + [0] * (window - len(seen))])
        written.append(drawn(net.predict(row)[0, len(seen) - 1], options.temperature, rng))
    return written


def drawn(scores: Numbers, temperature: float, rng: np.random.Generator) -> int:
    """A class by its logits: the likeliest at temperature 0."""
    if temperature == 0:
        return int(scores.argmax())
    wide = scores.astype(np.float64) / temperature
    weights = np.cumsum(np.exp(wide - wide.max()))
    return int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
