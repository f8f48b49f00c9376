"""What options do to loaded arrays: chosen classes, folds of cross-validation, scaled columns."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from dlc.runtime.data.choice import (
    all_samples,
    first_of_each,
    with_classes,
    with_labels,
    with_noise,
    with_unseen,
)
from dlc.runtime.data.dataset import DataError, Dataset
from dlc.runtime.data.options import Options
from dlc.runtime.data.ragged import Ragged

MOST_FOLDS = 1000


def prepared(dataset: Dataset, options: Options) -> Dataset:
    """`dataset` after the options classes, unseen, fold, each, labels and standardize, in this
    order. Raises DataError for any of them where the data are a stream."""
    given = [name for name in ("classes", "unseen", "fold", "each", "labels", "standardize")
             if getattr(options, name)]
    if given and not dataset.in_memory:
        raise DataError(dataset.name, given[0],
                        "a stream of batches can't be divided or measured before it is read",
                        "arrays, or a file")
    moving = [name for name in given if name not in ("labels", "standardize")]
    if moving and dataset.lanes:
        raise DataError(dataset.name, moving[0], "rows in lanes keep their order", "one of the two")
    if options.classes:
        dataset = with_classes(dataset, options.classes)
    if options.unseen:
        dataset = with_unseen(dataset, options.unseen)
    if options.fold:
        dataset = with_fold(dataset, *read_fold(dataset.name, options.fold))
    if options.each:
        dataset = first_of_each(dataset, options.each)
    if options.noise:
        dataset = with_noise(dataset, options.noise)
    if options.labels:
        dataset = with_labels(dataset, options.labels)
    return standardized(dataset) if options.standardize else dataset


def read_fold(source: object, text: str) -> tuple[int, int]:
    """(k, count) of "k/count", k from 1."""
    found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
    k, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (2 <= count <= MOST_FOLDS and 1 <= k <= count):
        raise DataError(source, "option fold", f"{text!r} is no fold",
                        "fold=3/10 for the third of ten")
    return k, count


def with_fold(dataset: Dataset, k: int, count: int) -> Dataset:
    """All samples divided anew: fold `k` of `count` is held out, the others are trained on.

    Folds are disjoint and together are all samples: blocks in the samples' order, of each class
    where there is an integer field with one value a sample, with equal shares of each (as
    scikit-learn's StratifiedKFold and KFold). Raises DataError for fewer samples than folds.
    """
    whole = all_samples(dataset)
    total = len(next(iter(whole.values())))
    if total < count:
        raise DataError(dataset.name, "option fold", f"{count} folds of {total} samples",
                        f"at most {total}")
    labels = [a for a in whole.values() if a.ndim == 1 and a.dtype.kind in "iub"]
    held = fold_of(labels[0] if labels else np.zeros(total, np.int32), count) == k - 1
    return replace(dataset, train={n: a[~held] for n, a in whole.items()},
                   test={n: a[held] for n, a in whole.items()})


def fold_of(label: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    """The fold, 0 .. count-1, of each sample."""
    order = np.sort(label)
    found = np.zeros(len(label), np.int64)
    for value in np.unique(label):
        shares = [int(np.sum(order[fold::count] == value)) for fold in range(count)]
        found[label == value] = np.repeat(np.arange(count), shares)
    return found


def standardized(dataset: Dataset) -> Dataset:
    """Columns of every f32 or f64 field of rows, x[n, columns], less their mean and divided by
    their standard deviation, both of the training samples alone; a constant column becomes 0.

    Raises DataError where there is no such field.
    """
    train, test = dict(dataset.train), dict(dataset.test or {})
    names = [name for name, array in train.items() if name != "y" and not isinstance(array, Ragged)
             and array.dtype.kind == "f" and array.ndim == 2]
    if not names:
        raise DataError(dataset.name, "option standardize",
                        "no field has columns of features: f32 or f64 [n, columns]",
                        "leave standardize out, or give x as floats [n, columns]")
    for name in names:
        array = dataset.train[name]
        mean, deviation = array.mean(0, np.float64), array.std(0, np.float64)
        for part in (train, test):
            if name in part:
                part[name] = scaled(part[name], mean, deviation)
    return replace(dataset, train=train, test=test or None)


def scaled(array: np.ndarray[Any, Any], mean: np.ndarray[Any, Any],
           deviation: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """(array - mean) / deviation in the array's dtype; 0 where the deviation is 0."""
    safe = np.where(deviation > 0, deviation, np.inf)
    found: np.ndarray[Any, Any] = ((array - mean) / safe).astype(array.dtype)
    return found
