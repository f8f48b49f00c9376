"""Text models in a report: what they write, and how well they foresaw a text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.program import Entry, Port

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram
    from dlc.runtime.report.answers import Answers

Numbers = np.ndarray[Any, Any]
TEMPERATURES = (0.5, 0.8, 1.0)
WRITTEN = 240  # characters
PROMPT = 24
SHOWN = 600  # characters of held-out text
SECONDS = 5.0  # the text ends earlier where an evaluation takes long
DARKEST = 6.0  # bits of surprise


@dataclass(frozen=True)
class Continuation:
    """A text that a network wrote after `prompt`, drawn at `temperature`."""

    prompt: str
    text: str
    temperature: float


def drawn(scores: Numbers, temperature: float, rng: np.random.Generator) -> int:
    """A class by its logits: the likeliest at temperature 0."""
    if temperature == 0:
        return int(scores.argmax())
    wide = scores.astype(np.float64) / temperature
    weights = np.cumsum(np.exp(wide - wide.max()))
    return int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))


def continuations(writer: Writer, row: Numbers,
                  classes: Sequence[str]) -> tuple[Continuation, ...]:
    """What the network writes after the beginning of `row` (i[length]), at some temperatures.

    Each text is a row of the batch that an evaluation takes. None for a network that looks ahead.
    """
    batch, window = (int(n) for n in writer.port.type.shape)
    prompt = row[:max(1, min(window // 2, PROMPT))].astype(np.int64)
    count = min(len(TEMPERATURES), batch)
    written = [list(map(int, prompt)) for _ in range(count)]
    if writer.looks_ahead(written[0], len(classes)):
        return ()
    rngs = [np.random.Generator(np.random.Philox(key=k)) for k in range(count)]
    start = time.monotonic()
    while len(written[0]) < len(prompt) + WRITTEN and time.monotonic() - start < SECONDS:
        scores = writer.next_scores(written)
        for k, codes in enumerate(written):
            codes.append(drawn(scores[k], TEMPERATURES[k], rngs[k]))
    texts = ["".join(classes[c] for c in codes) for codes in written]
    return tuple(Continuation(text[:len(prompt)], text[len(prompt):], t)
                 for text, t in zip(texts, TEMPERATURES, strict=False))


@dataclass(frozen=True)
class Writer:
    """Asks an evaluation for the scores of the next character."""

    loaded: ArenaProgram
    entry: Entry
    port: Port
    target: str
    lengths: tuple[str, ...] = ()  # inputs that say how long each row is

    def scores(self, rows: Numbers, seen: int) -> Numbers:
        """The prediction for rows of the batch's shape, of which `seen` characters count; the
        target is not read for it."""
        given = {self.port.name: rows.astype(self.port.type.dtype.numpy)}
        for port in self.entry.inputs:
            if port.role == "data" and port.name in (self.target, *self.lengths):
                value = seen if port.name in self.lengths else 0
                shape = tuple(map(int, port.type.shape))
                given[port.name] = np.full(shape, value, port.type.dtype.numpy)
        found: Numbers = self.loaded.call(self.entry.name, **given)["prediction"]
        return found

    def next_scores(self, written: Sequence[list[int]]) -> Numbers:
        """f[texts, classes]: what comes after each text."""
        batch, window = (int(n) for n in self.port.type.shape)
        rows = np.zeros((batch, window), np.int64)
        seen = min(len(written[0]), window)
        for k, codes in enumerate(written):
            rows[k, :seen] = codes[-seen:]
        return self.scores(rows, seen)[:len(written), seen - 1]

    def looks_ahead(self, codes: list[int], classes: int) -> bool:
        """Whether the prediction at a position depends on the characters behind it."""
        batch, window = (int(n) for n in self.port.type.shape)
        seen = min(len(codes), window - 1)
        rows = np.zeros((batch, window), np.int64)
        rows[:, :seen] = codes[:seen]
        before = self.scores(rows, window)[0, :seen].copy()
        rows[:, seen:] = classes - 1
        return bool((before != self.scores(rows, window)[0, :seen]).any())


def bits(answers: Answers) -> Numbers | None:
    """f64[rows, length]: -log2 of the probability that each true class was given."""
    said, truth = answers.prediction, answers.truth
    if answers.kind != "tokens" or said is None or truth is None or (
            truth.shape != said.shape[:-1] or said.shape[-1] < 2):
        return None
    wide = said.astype(np.float64)
    if answers.link != "exp":
        top = wide.max(axis=-1, keepdims=True)
        wide = wide - top - np.log(np.exp(wide - top).sum(axis=-1, keepdims=True))
    codes = np.clip(truth.astype(np.int64), 0, said.shape[-1] - 1)
    found: Numbers = -np.take_along_axis(wide, codes[..., None], axis=-1)[..., 0] / np.log(2)
    return found


def text_section(answers: Answers) -> str:
    """What a text model writes, and held-out text by how surprising it was."""
    if not answers.is_text:
        return ""
    written = "".join(continuation(c) for c in answers.texts)
    head = ("<h2>Text</h2><p>What the network writes after a prompt (grey) from the "
            f"{answers.part} data. A low temperature favours likely characters.</p>"
            f'<div class="grid3">{written}</div>') if written else ""
    return head + surprise(answers)


def continuation(found: Continuation) -> str:
    return (f'<figure class="card"><figcaption>temperature {found.temperature:g}</figcaption>'
            f'<pre class="text"><span class="soft">{escape(found.prompt)}</span>'
            f"{escape(found.text)}</pre></figure>")


def surprise(answers: Answers) -> str:
    """Text with each character shaded by its bits."""
    found, truth = bits(answers), answers.truth
    if found is None or truth is None:
        return ""
    codes, costs = truth.reshape(-1)[:SHOWN], found.reshape(-1)[:SHOWN]
    marks = "".join(
        f'<i style="--a:{min(cost / DARKEST, 1.0):.2f}" title="{escape(name_of(answers, code))}: '
        f'{cost:.1f} bits">{escape(answers.classes[code])}</i>'
        for code, cost in zip(codes.tolist(), costs.tolist(), strict=True))
    return (f"<h2>Surprise</h2><p>The first {len(codes)} characters of the {answers.part} "
            "data. The darker a character, the less the network expected it there: from 0 to "
            f"{DARKEST:g} bits.</p>"
            f'<div class="card"><pre class="text surprise">{marks}</pre></div>')


def name_of(answers: Answers, code: int) -> str:
    name = answers.classes[code]
    return {"\n": "new line", " ": "space", "\t": "tab"}.get(name, name)
