"""`dlc predict FILE --weights CHECKPOINT --data NEW`: a trained network applied to new data."""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from dlc.cli.arguments import UsageError
from dlc.cli.source import changed_task, user_code
from dlc.cli.streams import say
from dlc.intake import user_path

if TYPE_CHECKING:
    from dlc.network import Network
    from dlc.runtime.data import Dataset

ENDINGS = (".csv", ".npy", ".npz")
Results = dict[str, Any]  # arrays; a list of them where rows have several lengths


def run(options: argparse.Namespace) -> int:
    """Predict every row and write what was said, as CSV on standard output without a file."""
    names = [name for name in options.outputs.split(",") if name]
    path = output_path(options.output, names)
    from dlc.network import load, outputs

    task = changed_task(options.file, options.settings)
    with user_code():
        net = outputs(load(options.weights, task), *names)
        if not net.inputs:
            raise UsageError(f"{net.name} takes no rows: it draws samples\n  dlc sample "
                             f"{options.file} --weights {options.weights} -o samples.png")
        rows = new_rows(options.data, net)
        found = net.predict(**rows)
    results = found if isinstance(found, dict) else {names[0]: found}
    write(path, results, net.classes if names == ["prediction"] else ())
    if path is not None:
        count = len(next(iter(results.values())))
        told = ", ".join(f"{k} {v[0].dtype}{list(v[0].shape)}" if isinstance(v, list) else
                         f"{k} {v.dtype}{list(v.shape[1:])}" for k, v in results.items())
        say(f"{path}: {count} rows of {told}")
    return 0


def output_path(output: str | None, names: list[str]) -> Path | None:
    """Where results go, None for standard output. Raises UsageError for what can't hold them."""
    path = None if output is None else user_path(output)
    if not names:
        raise UsageError("--outputs names no value; e.g. --outputs prediction")
    if path is not None and path.suffix not in ENDINGS:
        raise UsageError(f"-o {output}: the kind of file is not known\n  it ends in "
                         f"{', '.join(ENDINGS)}")
    if len(names) > 1 and (path is None or path.suffix != ".npz"):
        raise UsageError(f"--outputs: {len(names)} values need a .npz file, e.g. -o values.npz")
    return path


def new_rows(data: str, net: Network) -> Results:
    """The fields of `data` that the network takes: of data that divide themselves the test part,
    of others all. A single field serves a single input, whatever it is called. A table of as many
    columns as the network takes values has no target column."""
    from dlc.runtime.data import load_dataset
    from dlc.runtime.data.table import NO_TARGET

    rows = all_rows(load_dataset(data, test=0))
    wanted = {math.prod(t.shape) for t in net.inputs.values()}
    if "y" in rows and len(rows) == 2 and wanted == {rows["x"][0].size + 1}:
        rows = all_rows(load_dataset(data, test=0, target=NO_TARGET))
    if len(rows) == 1 and len(net.inputs) == 1:
        return {next(iter(net.inputs)): next(iter(rows.values()))}
    return {name: rows[name] for name in net.inputs if name in rows}


def all_rows(dataset: Dataset) -> Results:
    """The part of a data set that a trained network is asked about."""
    return dict(dataset.train if dataset.test is None else dataset.test)


def write(path: Path | None, results: Results, classes: tuple[str, ...]) -> None:
    """Write arrays as they are (.npy, .npz) or a row of numbers a sample (.csv). Raises UsageError
    for rows of several lengths that go elsewhere than into .npz, one after another."""
    first = next(iter(results.values()))
    if isinstance(first, list) and (path is None or path.suffix != ".npz"):
        raise UsageError(f"{next(iter(results))} has rows of several lengths\n  they need a .npz "
                         "file, e.g. -o values.npz")
    if path is None:
        write_table(sys.stdout, next(iter(results)), first, classes)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            write_table(file, next(iter(results)), first, classes)
    elif path.suffix == ".npy":
        np.save(path, first, allow_pickle=False)
    else:
        np.savez(path, **flat(results))


def flat(results: Results) -> Results:
    """Rows of several lengths as NAME, one after another, and NAME_offsets, where each begins."""
    found = {}
    for name, value in results.items():
        if isinstance(value, list):
            found[f"{name}_offsets"] = np.cumsum([0, *map(len, value)])
            value = np.concatenate(value)
        found[name] = value
    return found


def write_table(file: TextIO, name: str, values: np.ndarray[Any, Any],
                classes: tuple[str, ...]) -> None:
    """A header and a line a row: the likeliest class, where there are classes, and all numbers in
    the fewest digits that give the same value back."""
    flat = values.reshape(len(values), -1)
    columns = [name] if flat.shape[1] == 1 else [f"{name}_{i}" for i in range(flat.shape[1])]
    labelled = bool(classes) and values.ndim == 2
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow((["class"] if labelled else []) + columns)
    for row in flat:
        said = [classes[int(row.argmax())]] if labelled else []
        writer.writerow(said + list(digits(row)))
    file.flush()


def digits(row: np.ndarray[Any, Any]) -> Iterator[str]:
    """The numbers of a row as text."""
    return (str(value) for value in row)
