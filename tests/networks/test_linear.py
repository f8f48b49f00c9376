"""Linear models against formulas and coordinate descent in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.cli.source import load_task
from dlc.runtime.data import load_dataset

Floats = np.ndarray[Any, np.dtype[Any]]


def diabetes() -> tuple[Floats, Floats]:
    data = load_dataset("diabetes?test=0").train
    return data["x"].astype(np.float64), data["y"][:, 0].astype(np.float64)


def coordinate_descent(x: Floats, y: Floats, alpha: float, ratio: float) -> Floats:
    """The minimum of |y - x w|^2 / 2n + alpha (ratio |w|_1 + (1 - ratio) |w|_2^2 / 2), columns of
    mean 0, y centred (Friedman, Hastie and Tibshirani 2010, eq. 5)."""
    n, w = len(x), np.zeros(x.shape[1])
    for _ in range(3000):
        for j in range(len(w)):
            rest = y - x @ w + x[:, j] * w[j]
            slope = x[:, j] @ rest / n
            small = np.sign(slope) * max(abs(slope) - alpha * ratio, 0.0)
            w[j] = small / (x[:, j] @ x[:, j] / n + alpha * (1.0 - ratio))
    return w


def trained(name: str) -> Floats:
    found: Floats = load_task(name).train(seed=0).values["weight"][:, 0].astype(np.float64)
    return found


def test_least_squares_and_ridge_are_the_normal_equations() -> None:
    x, y = diabetes()
    for name, alpha in (("least_squares", 0.0), ("ridge", 1.0)):
        exact = np.linalg.solve(x.T @ x + alpha * np.eye(10), x.T @ (y - y.mean()))
        error = np.abs(x @ (trained(name) - exact)).max()
        assert error < 0.05, name  # of a response from 25 to 346, in f32


@pytest.mark.swept(2)
@pytest.mark.parametrize(("name", "alpha", "ratio"), [("lasso", 1.0, 1.0),
                                                      ("elastic_net", 0.01, 0.5)])
def test_penalized_weights_are_those_of_coordinate_descent(name: str, alpha: float,
                                                           ratio: float) -> None:
    x, y = diabetes()
    exact, found = coordinate_descent(x, y - y.mean(), alpha, ratio), trained(name)
    np.testing.assert_array_equal(found == 0, exact == 0)
    np.testing.assert_allclose(found, exact, rtol=1e-3, atol=0.02)


def test_folds_are_disjoint_and_hold_equal_shares() -> None:
    """As scikit-learn's StratifiedKFold: blocks in the order of the samples."""
    seen = np.zeros((150, 4), np.float32)
    for k in range(1, 11):
        fold = load_dataset(f"iris?test=0&fold={k}/10")
        assert fold.test is not None and fold.samples == 135
        np.testing.assert_array_equal(np.bincount(fold.test["label"]), [5, 5, 5])
        for species in range(3):
            seen[50 * species + 5 * (k - 1):][:5] = fold.test["x"][5 * species:5 * species + 5]
    np.testing.assert_array_equal(seen, load_dataset("iris?test=0").train["x"])


def test_columns_are_scaled_by_the_training_samples() -> None:
    plain, scaled = load_dataset("iris"), load_dataset("iris?standardize=1")
    assert plain.test is not None and scaled.test is not None
    mean, deviation = plain.train["x"].mean(0), plain.train["x"].std(0)
    np.testing.assert_allclose(scaled.test["x"], (plain.test["x"] - mean) / deviation, rtol=1e-4,
                               atol=1e-5)
    np.testing.assert_allclose(scaled.train["x"].std(0), 1.0, rtol=1e-5)


def test_few_labels_are_the_first_of_each_class() -> None:
    whole, few = load_dataset("digits8"), load_dataset("digits8?labels=5")
    assert whole.test is not None and few.test is not None
    label, kept = whole.train["label"], few.train["label"]
    for digit in range(10):
        np.testing.assert_array_equal(np.flatnonzero(kept == digit),
                                      np.flatnonzero(label == digit)[:5])
    assert set(kept) == set(range(-1, 10))
    np.testing.assert_array_equal(few.test["label"], whole.test["label"])


@pytest.mark.parametrize(("spec", "message"), [
    ("iris?fold=11/10", "'11/10' is no fold; fold=3/10 for the third of ten"),
    ("iris?fold=1/1", "'1/1' is no fold"), ("iris?fold=1/151", "151 folds of 150 samples"),
    ("iris?labels=41", "41 labels of each class"), ("xor?labels=1", "no field has a class"),
    ("iris?standardize=maybe", "'maybe' is invalid"),
    ("digits8?standardize=1", "no field has columns of features"),
    ("pydoc?standardize=1", "no field has columns of features")])
def test_options_that_do_not_fit_are_refused(spec: str, message: str) -> None:
    with pytest.raises(Exception, match=message) as found:
        load_dataset(spec)
    assert type(found.value).__name__ == "DataError"
