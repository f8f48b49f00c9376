"""The tables that come with dlc: iris, breast_cancer, diabetes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import HELD_OUT, Arrays, DataError, Dataset, hold_out
from dlc.runtime.data.npy import read_npz
from dlc.runtime.data.options import Options

TABLES_FILE = Path(__file__).resolve().parents[1] / "tables.npz"
DIABETES_HELD = 20
SPECIES = ("setosa", "versicolor", "virginica")
DIAGNOSES = ("malignant", "benign")


def load_table(name: str, classes: tuple[str, ...], options: Options) -> Dataset:
    """A bundled table: x f32[n, columns] as measured, and label i32[n].

    A fixed choice of samples is held out. (R. A. Fisher 1936; W. N. Street, W. H. Wolberg
    and O. L. Mangasarian 1993.)
    """
    stored = read_npz(TABLES_FILE, Intake(TABLES_FILE, DataError))
    arrays: Arrays = {"x": stored[f"{name}_x"],
                      "label": stored[f"{name}_label"].astype(np.int32)}
    train, held = hold_out(arrays, options.test, name)
    return Dataset(name, train, held, classes, source="bundled")


def load_diabetes(options: Options) -> Dataset:
    """x f32[n, 10], columns of mean 0 and length 1 as published; y f32[n, 1], the progression of
    diabetes after a year (B. Efron, T. Hastie, I. Johnstone and R. Tibshirani 2004).

    The last 20 of the 442 patients are held out, as in scikit-learn's example; `test` takes others.
    """
    stored = read_npz(TABLES_FILE, Intake(TABLES_FILE, DataError))
    x = stored["diabetes_x"].astype(np.float64)
    x -= x.mean(0)
    x /= np.sqrt(np.sum(x * x, axis=0))
    arrays: Arrays = {"x": x.astype(np.float32), "y": stored["diabetes_y"][:, None]}
    if options.test != HELD_OUT:
        train, test = hold_out(arrays, options.test, "diabetes")
    else:
        train = {name: array[:-DIABETES_HELD] for name, array in arrays.items()}
        test = {name: array[-DIABETES_HELD:] for name, array in arrays.items()}
    return Dataset("diabetes", train, test, source="bundled")


TABLES: dict[str, Callable[[Options], Dataset]] = {"iris": partial(load_table, "iris", SPECIES),
          "breast_cancer": partial(load_table, "breast_cancer", DIAGNOSES),
          "diabetes": load_diabetes}
