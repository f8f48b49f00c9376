"""The tables that come with dlc: iris, breast_cancer, diabetes."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from dlc.intake import Intake
from dlc.runtime.data.dataset import Arrays, DataError, Dataset, hold_out
from dlc.runtime.data.npy import read_npz
from dlc.runtime.data.options import Options

TABLES_FILE = Path(__file__).resolve().parents[1] / "tables.npz"
SPECIES = ("setosa", "versicolor", "virginica")
DIAGNOSES = ("malignant", "benign")


def load_table(name: str, classes: tuple[str, ...], options: Options) -> Dataset:
    """A bundled table: x f32[n, columns] as measured, and label i32[n] or y f32[n, 1].

    A fixed choice of samples is held out. (R. A. Fisher 1936; W. N. Street, W. H. Wolberg
    and O. L. Mangasarian 1993; B. Efron, T. Hastie, I. Johnstone and R. Tibshirani 2004.)
    """
    stored = read_npz(TABLES_FILE, Intake(TABLES_FILE, DataError))
    arrays: Arrays = {"x": stored[f"{name}_x"]}
    if classes:
        arrays["label"] = stored[f"{name}_label"].astype(np.int32)
    else:
        arrays["y"] = stored[f"{name}_y"][:, None]
    train, held = hold_out(arrays, options.test, name)
    return Dataset(name, train, held, classes, source="bundled")


TABLES = {"iris": partial(load_table, "iris", SPECIES),
          "breast_cancer": partial(load_table, "breast_cancer", DIAGNOSES),
          "diabetes": partial(load_table, "diabetes", ())}
