"""Samples chosen by their label: classes, classes held out whole, a few of each; made pictures."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dlc.runtime.data import load_dataset
from dlc.runtime.data.dataset import DataError


def table() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Nine training and three test samples of the classes 0, 1 and 2, x their number."""
    x = np.arange(12, dtype=np.float32)[:, None]
    label = np.tile(np.arange(3, dtype=np.int32), 4)
    return {"x": x[:9], "label": label[:9]}, {"x": x[9:], "label": label[9:]}


def test_classes_are_kept_and_numbered_anew() -> None:
    data = load_dataset(table(), classes="1-2")
    assert data.test is not None
    assert data.train["x"][:, 0].tolist() == [1, 2, 4, 5, 7, 8]
    assert data.train["label"].tolist() == [0, 1, 0, 1, 0, 1]
    assert data.train["label"].dtype == np.int32
    assert data.test["label"].tolist() == [0, 1]
    assert load_dataset("digits8?classes=5-9").classes == ("5", "6", "7", "8", "9")
    assert load_dataset("digits8?classes=9,1,3").classes == ("1", "3", "9")


def test_unseen_classes_are_held_out_whole() -> None:
    data = load_dataset(table(), unseen="2")
    assert data.test is not None
    assert data.train["label"].tolist() == [0, 1] * 4
    assert data.test["x"][:, 0].tolist() == [2, 5, 8, 11]
    assert data.test["label"].tolist() == [2] * 4


def test_a_few_samples_of_each_class() -> None:
    data = load_dataset(table(), each="2")
    assert data.test is not None
    assert data.train["x"][:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert data.test_samples == 3
    few = load_dataset("digits8?classes=5-9&each=10").train["label"]
    assert np.bincount(few).tolist() == [10] * 5


def test_noise_gives_a_share_of_the_training_samples_another_label() -> None:
    clean, noisy, again = (load_dataset(f"digits8?each=20{more}") for more in (
        "", "&noise=0.2", "&noise=0.2"))
    wrong = clean.train["label"] != noisy.train["label"]
    assert wrong.sum() == 40
    assert set(noisy.train["label"]) == set(range(10))
    assert noisy.train["label"].dtype == clean.train["label"].dtype
    assert clean.test is not None and noisy.test is not None
    for part, other in ((noisy.train, again.train), (clean.test, noisy.test)):
        np.testing.assert_array_equal(part["label"], other["label"])


@pytest.mark.parametrize(("option", "value", "told"), [
    ("classes", "5-9", "names no classes"), ("classes", "2-1", "names no classes"),
    ("unseen", "all", "names no classes"), ("unseen", "0-2", "leaves no class to train on"),
    ("each", "-1", "a number from 1"), ("noise", "1.5", "a share between 0 and 1"),
    ("noise", "-0.1", "a share between 0 and 1"),
])
def test_refused(option: str, value: str, told: str) -> None:
    with pytest.raises(DataError, match=told):
        load_dataset(table(), **{option: value})


def test_no_label_and_no_stream() -> None:
    with pytest.raises(DataError, match="no field has a class"):
        load_dataset({"x": np.zeros((4, 2), np.float32)}, unseen="1")
    with pytest.raises(DataError, match="a stream of batches"):
        load_dataset([np.zeros((2, 2), np.float32)], each=3)


def test_shapes_are_a_disc_below_a_square() -> None:
    data = load_dataset("shapes")
    assert data.describe() == ("shapes: 480 samples, 120 held out; "
                               "image float32[n, 1, 32, 32], mask int32[n, 32, 32]")
    for image, mask in zip(data.train["image"][:40, 0], data.train["mask"][:40], strict=True):
        rows, columns = np.nonzero(mask == 2)
        inside = mask[rows.min():rows.max() + 1, columns.min():columns.max() + 1]
        assert (inside == 2).all()
        if rows.min() > 0 and rows.max() < 31 and columns.min() > 0 and columns.max() < 31:
            assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
        spread = [image[mask == kind].std() for kind in (1, 2) if (mask == kind).sum() > 20]
        assert max(spread) < 0.15  # one grey, and noise of 0.1


def test_a_moving_digit_goes_on_in_its_direction() -> None:
    data = load_dataset("moving")
    assert (data.samples, data.test_samples) == (1437, 360)
    steps = {"up": (-1, 0), "up right": (-1, 1), "right": (0, 1), "down right": (1, 1),
             "down": (1, 0), "down left": (1, -1), "left": (0, -1), "up left": (-1, -1)}
    for clip, label in zip(data.train["clip"][:60, 0], data.train["label"][:60], strict=True):
        step = steps[data.classes[label]]
        for before, after in pairwise(clip):
            np.testing.assert_array_equal(np.roll(before, step, (0, 1)), after)
