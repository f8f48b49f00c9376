"""Options that choose samples by their label: some classes, some held out whole, a few of each,
some with a wrong one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np

from dlc.runtime.data.dataset import Arrays, DataError, Dataset
from dlc.runtime.data.ragged import Ragged, joined

Array = np.ndarray[Any, np.dtype[Any]]


def with_classes(dataset: Dataset, text: str) -> Dataset:
    """The samples of the classes `text` ("5-9", "1,3,7") alone, numbered anew from 0."""
    name, wanted = label_of(dataset), read_classes(dataset, "classes", text)
    new = np.full(class_count(dataset), -1)
    new[wanted] = np.arange(len(wanted))
    parts: list[Arrays] = []
    for part in (dataset.train, dataset.test or {}):
        kept = picked(part, np.isin(part[name], wanted)) if part else {}
        parts.append({k: new[v].astype(v.dtype) if k == name else v for k, v in kept.items()})
    names = tuple(dataset.classes[c] for c in wanted) if dataset.classes else ()
    return replace(dataset, train=parts[0], test=parts[1] or None, classes=names)


def with_unseen(dataset: Dataset, text: str) -> Dataset:
    """All samples of the classes `text` held out, all others trained on; labels stay."""
    whole, wanted = all_samples(dataset), read_classes(dataset, "unseen", text)
    held = np.isin(whole[label_of(dataset)], wanted)
    if held.all():
        raise DataError(dataset.name, "option unseen", f"{text!r} leaves no class to train on",
                        "some of the classes")
    return replace(dataset, train=picked(whole, ~held), test=picked(whole, held))


def first_of_each(dataset: Dataset, count: int) -> Dataset:
    """The first `count` training samples of each class; the test samples stay."""
    if count < 1:
        raise DataError(dataset.name, "option each", f"{count} samples", "a number from 1")
    label = dataset.train[label_of(dataset)]
    few = np.concatenate([np.flatnonzero(label == value)[:count] for value in np.unique(label)])
    return replace(dataset, train=picked(dataset.train, np.isin(np.arange(len(label)), few)))


def with_noise(dataset: Dataset, share: float) -> Dataset:
    """That share of the training samples, drawn at random, with the label of another class, drawn
    too: the same for every seed of a training. The test samples stay."""
    if not 0 < share < 1:
        raise DataError(dataset.name, "option noise", f"{share:g} of the labels",
                        "a share between 0 and 1, such as noise=0.2")
    name, classes = label_of(dataset), class_count(dataset)
    label = dataset.train[name].copy()
    rng = np.random.default_rng(0)
    wrong = rng.permutation(len(label))[:round(share * len(label))]
    shifted = label[wrong] + rng.integers(1, max(classes, 2), len(wrong))
    label[wrong] = shifted % classes
    return replace(dataset, train={**dataset.train, name: label})


def with_labels(dataset: Dataset, count: int) -> Dataset:
    """The first `count` training samples of each class keep their label, the others get -1."""
    name = label_of(dataset)
    label = dataset.train[name]
    classes, sizes = np.unique(label, return_counts=True)
    if not 1 <= count <= sizes.min():
        raise DataError(dataset.name, "option labels", f"{count} labels of each class",
                        f"1 to {sizes.min()}, the samples of the rarest class")
    kept = np.concatenate([np.flatnonzero(label == value)[:count] for value in classes])
    few = np.full_like(label, -1)
    few[kept] = label[kept]
    return replace(dataset, train={**dataset.train, name: few})


def all_samples(dataset: Dataset) -> Arrays:
    """Training and test samples, one after the other."""
    test = dataset.test or {}
    return {name: joined_rows(array, test[name]) if test else array
            for name, array in dataset.train.items()}


def joined_rows(first: Any, second: Any) -> Any:
    """The rows of two fields, one after the other."""
    if isinstance(first, Ragged):
        return joined([*first, *second], first.axis)
    return np.concatenate([first, second])


def picked(part: Arrays, which: Array) -> Arrays:
    """The rows of every field where `which` is True."""
    return {name: array[which] for name, array in part.items()}


def label_of(dataset: Dataset) -> str:
    """The first field with one integer a sample. Raises DataError where there is none."""
    for name, array in dataset.train.items():
        if array.ndim == 1 and array.dtype.kind in "iu":
            return name
    raise DataError(dataset.name, "options classes, unseen, each, noise, labels",
                    "no field has a class for each sample", "label as integers [n]")


def class_count(dataset: Dataset) -> int:
    """How many classes the labels have: numbers from 0."""
    name = label_of(dataset)
    return max(int(part[name].max()) for part in (dataset.train, dataset.test) if part) + 1


def read_classes(dataset: Dataset, option: str, text: str) -> list[int]:
    """The numbers that "5-9" or "1,3,7" names. Raises DataError for other texts and classes."""
    count, found = class_count(dataset), list[int]()
    for part in text.split(","):
        ends = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part)
        if not ends or not int(ends[1]) <= int(ends[2] or ends[1]) < count:
            raise DataError(dataset.name, f"option {option}", f"{text!r} names no classes",
                            f"{option}=0-{count - 1} for all, {option}=0,{count - 1} for two")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return sorted(set(found))
