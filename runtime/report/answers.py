"""What a trained network says of the test data: the arrays that a report shows."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dlc.program import Entry
from dlc.runtime.data import Dataset, bind_arrays
from dlc.runtime.data.buckets import varying_of
from dlc.runtime.data.dataset import Arrays
from dlc.runtime.data.ragged import Ragged, uniform
from dlc.runtime.report.text import Continuation, Writer, continuations
from dlc.runtime.train.alternation import batch_size
from dlc.runtime.train.measure import held_out_runs

if TYPE_CHECKING:
    from dlc.runtime.cpu.arena import ArenaProgram

Floats = np.ndarray[Any, np.dtype[np.float32]]
LIMIT = 1 << 26  # bytes of predictions that are kept
CODE, SAMPLES = "report.code", "report.samples"


@dataclass(frozen=True)
class Answers:
    """The predictions of a network, and the data that they are of.

    `kind`, `target`, `link` and `code_name` are the task's subject (dlc/task/subject.py). `arrays`
    holds the rows of the `part` ("test" or "training") that were asked, `of` how many it has.
    `prediction` and `code` are f32 with a row for each, `texts` what a text model writes, `samples`
    what is drawn beside the prediction, and `trained` what a sample is held against.
    """

    kind: str = "nothing"
    target: str = ""
    link: str = ""
    code_name: str = ""
    part: str = "test"
    arrays: Arrays = field(default_factory=dict)
    of: int = 0
    classes: tuple[str, ...] = ()
    prediction: Floats | None = None
    code: Floats | None = None
    texts: tuple[Continuation, ...] = ()
    samples: Floats | None = None
    trained: Arrays = field(default_factory=dict)

    @property
    def truth(self) -> np.ndarray[Any, Any] | None:
        """What the predictions should equal, a row for each; None where the data do not tell."""
        found = self.arrays.get(self.target)
        return None if found is None or self.prediction is None else found

    @property
    def is_text(self) -> bool:
        """Whether the classes are characters."""
        return self.kind == "tokens" and bool(self.classes) and all(
            len(name) == 1 for name in self.classes)


def ask(loaded: ArenaProgram, dataset: Dataset, subject: Mapping[str, str]) -> Answers:
    """Predict the test data (the training data where there are none), as many rows as LIMIT takes.
    """
    entry = loaded.program.entries.get("eval")
    if subject.get("kind", "nothing") == "nothing" or entry is None or not dataset.train:
        return Answers()
    names = {port.name for port in entry.outputs} & {"prediction", CODE, SAMPLES}
    if "prediction" not in names:
        return Answers()
    target = subject.get("target", "")
    varies = any(target in v["inputs"] for v in varying_of(loaded.program).values())
    found = (of_positions(loaded, dataset, subject) if varies else
             of_rows(loaded, dataset, subject, names))
    return with_texts(loaded, entry, found)


def of_rows(loaded: ArenaProgram, dataset: Dataset, subject: Mapping[str, str],
            names: Collection[str]) -> Answers:
    """The outputs `names` for each row. A generator, which is asked about no rows, is held against
    all that it was trained on."""
    makes = subject["kind"] == "samples"
    found: dict[str, list[Floats]] = {name: [] for name in names}
    size, numbers = 0, []
    for rows, said in predictions(loaded, dataset):
        numbers.append(rows)
        for name, parts in found.items():
            if name != SAMPLES or not parts:  # each batch would draw the same
                parts.append(np.asarray(said[name]).astype(np.float32))
        size += sum(parts[-1].nbytes for parts in found.values())
        if size >= LIMIT or makes:
            break
    if not numbers:
        return Answers()
    told = np.concatenate(numbers)
    order = np.argsort(told, kind="stable")
    arrays = dataset.train if makes else dataset.test or dataset.train
    asked = slice(None) if makes else told[order]
    drawn = found.pop(SAMPLES, [None])[0]
    values = {name: np.concatenate(parts)[order] for name, parts in found.items()}
    return Answers(
        subject["kind"], subject.get("target", ""), subject.get("link", ""),
        subject.get("code", ""), "test" if arrays is dataset.test else "training",
        {k: v[asked] for k, v in arrays.items()}, len(next(iter(arrays.values()))),
        dataset.classes, values["prediction"], values.get(CODE),
        samples=drawn, trained=dataset.train)


def of_positions(loaded: ArenaProgram, dataset: Dataset, subject: Mapping[str, str]) -> Answers:
    """The classes of each position of rows of several lengths, one row after another: predictions
    f32[positions, classes], targets i[positions]. None for other predictions of several lengths."""
    arrays, target = dataset.test or dataset.train, subject.get("target", "")
    found: dict[int, Floats] = {}
    field = arrays[target] if isinstance(arrays[target], Ragged) else uniform(arrays[target], 0)
    for rows, said in predictions(loaded, dataset):
        if subject["kind"] != "tokens" or field.values.ndim > 1 or said["prediction"].ndim != 3:
            return Answers()
        for number, scores in zip(rows.tolist(), said["prediction"], strict=True):
            found[number] = scores[:int(field.lengths[number])].astype(np.float32)
        if sum(part.nbytes for part in found.values()) >= LIMIT:
            break
    if not found:
        return Answers()
    order = np.array(sorted(found))
    told = {name: array[order] for name, array in arrays.items()}
    prediction = np.concatenate([found[k] for k in order.tolist()])
    return Answers(
        "tokens", target, subject.get("link", ""), part="test" if dataset.test else "training",
        arrays={**told, target: field[order].values}, of=len(prediction),
        classes=dataset.classes, prediction=prediction)


def predictions(loaded: ArenaProgram, dataset: Dataset) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(numbers of rows, the outputs of entry "eval") for each batch: of the test data, or of the
    training data where there are none. A last batch of these that is not full is filled up with
    the first rows."""
    tested = dataset if dataset.test else replace(dataset, test=dataset.train)
    if dataset.test or varying_of(loaded.program):
        for run in itertools.chain.from_iterable(
                r.batches() for r in held_out_runs(loaded, tested)):
            fed = {k: v[run.rows[0]] for k, v in run.arrays.items()}
            yield run.numbers[0], loaded.call(run.entry.name, **fed)
        return
    entry = loaded.program.entries["eval"]
    batch = batch_size(entry)
    arrays = bind_arrays(dataset.name, dataset.train, entry.inputs)
    for start in range(0, dataset.samples, batch):
        rows = np.arange(start, start + batch) % dataset.samples
        kept = min(batch, dataset.samples - start)
        said = loaded.call("eval", **{k: v[rows] for k, v in arrays.items()})
        yield rows[:kept], {k: v[:kept] if v.ndim else v for k, v in said.items()}


def with_texts(loaded: ArenaProgram, entry: Entry, answers: Answers) -> Answers:
    """`answers` and, of a text model, what it writes."""
    if not answers.is_text:
        return answers
    lengths = tuple(varying_of(loaded.program))
    ports = [p for p in entry.inputs if p.role == "data"
             and p.name not in (answers.target, *lengths)]
    rows, said = answers.arrays.get(ports[0].name) if len(ports) == 1 else None, answers.prediction
    if rows is None or said is None or rows.ndim != 2 or rows.dtype.kind not in "iu" or (
            said.shape[-1] != len(answers.classes)):
        return answers
    writer = Writer(loaded, entry, ports[0], answers.target, lengths)
    return replace(answers, texts=continuations(writer, rows[0], answers.classes))
