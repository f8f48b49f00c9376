"""Bundled data, held-out parts, order of samples, and fields made to fit a task's ports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlc.ir.types import bool_, f16, f32, i32, u8
from dlc.program import Port
from dlc.runtime.data import DataError, Dataset, Stream, bind_arrays, epoch_order, load_dataset
from dlc.runtime.data.bundled import interpolation, resize
from dlc.runtime.data.captions import LENGTH, NAMES, WORDS
from dlc.runtime.data.signals import LINEAR_WEIGHTS
from dlc.runtime.data.words import encoded, in_numbers


def test_digits_are_scikit_learns_stratified_fifth() -> None:
    data = load_dataset("digits8")
    assert data.test is not None
    assert (data.samples, data.test_samples) == (1437, 360)
    assert data.classes == tuple("0123456789")
    whole = np.bincount(np.concatenate([data.train["label"], data.test["label"]]))
    np.testing.assert_array_equal(whole, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    held = np.bincount(data.test["label"])
    assert np.abs(held - whole / 5).max() < 1  # stratified
    pixels = np.concatenate([data.train["image"], data.test["image"]]) * 16
    assert pixels.max() == 16 and pixels.min() == 0
    np.testing.assert_array_equal(pixels, np.round(pixels))
    assert int(pixels.sum()) == 561718  # of sklearn.datasets.load_digits().data


def test_digits_at_28_keep_their_ink_and_border() -> None:
    small, large = load_dataset("digits8"), load_dataset("digits")
    image = large.train["image"]
    assert image.shape == (1437, 1, 28, 28) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 1
    assert not image[:, :, :2].any() and not image[:, :, :, -2:].any()
    # a linear resize by 3 at half-integer centres keeps the mean of each 3x3 block near its cell
    blocks = image[:, 0, 2:26, 2:26].reshape(-1, 8, 3, 8, 3)
    np.testing.assert_allclose(blocks[:, :, 1, :, 1], small.train["image"][:, 0], atol=1e-6)
    np.testing.assert_array_equal(small.train["label"], large.train["label"])


def test_interpolation_matches_a_direct_sum() -> None:
    matrix = interpolation(5, 3)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    line = np.float32([[0, 1, 4]])
    np.testing.assert_allclose(matrix @ line[0], [0, 0.4, 1, 2.8, 4], rtol=1e-6)
    picture = np.float32([[[0, 1], [2, 3]]])
    np.testing.assert_allclose(resize(picture, 2, 4)[0, 0, 1:3, 1:3], picture[0])


def test_digits_size_option() -> None:
    data = load_dataset("digits?size=32")
    assert data.train["image"].shape == (1437, 1, 32, 32) and data.name == "digits32"


def test_linear_has_the_documented_answer() -> None:
    data = load_dataset("linear")
    x = np.concatenate([data.train["x"], np.ones((800, 1), np.float32)], axis=1)
    found = np.linalg.lstsq(x, data.train["y"], rcond=None)[0].ravel()
    np.testing.assert_allclose(found, [*LINEAR_WEIGHTS, 0.75], atol=0.02)


def test_xor_is_exclusive_or() -> None:
    data = load_dataset("xor")
    for (a, b), y in zip(data.train["x"], data.train["y"][:, 0], strict=True):
        assert int(a) ^ int(b) == int(y)


def test_hold_out_is_a_partition_and_the_same_every_time() -> None:
    arrays = {"x": np.arange(100), "y": np.arange(100) * 2}
    first, second = load_dataset(arrays), load_dataset(arrays)
    assert first.test is not None and second.test is not None
    assert (first.samples, first.test_samples) == (80, 20)
    both = np.concatenate([first.train["x"], first.test["x"]])
    assert sorted(both) == list(range(100))
    np.testing.assert_array_equal(first.test["x"], second.test["x"])
    np.testing.assert_array_equal(first.test["x"] * 2, first.test["y"])


def test_pair_of_dicts_is_train_and_test() -> None:
    data = load_dataset(({"x": np.zeros(3)}, {"x": np.ones(2)}))
    assert data.test is not None and (data.samples, data.test_samples) == (3, 2)


def test_epoch_order_depends_on_seed_epoch_and_count_alone() -> None:
    order = epoch_order(3, 5, 1000)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    np.testing.assert_array_equal(order, epoch_order(3, 5, 1000))
    for other in (epoch_order(4, 5, 1000), epoch_order(3, 6, 1000)):
        assert (other != order).mean() > 0.9
    # pinned: a change of this order would break resuming older checkpoints
    np.testing.assert_array_equal(epoch_order(0, 0, 8), [0, 2, 1, 5, 4, 3, 6, 7])


def port(name: str, type_: Any, role: str = "data") -> Port:
    return Port(name, type_, 0, role)


def test_bind_flattens_casts_and_leaves_the_rest() -> None:
    arrays = {"image": np.ones((6, 1, 4, 4), np.float64), "label": np.arange(6, dtype=np.uint8),
              "unused": np.zeros(6)}
    ports = (port("image", f32[2, 16]), port("label", i32[2]), port("step", i32[()], "step"))
    bound = bind_arrays("d", arrays, ports)
    assert sorted(bound) == ["image", "label"]
    assert bound["image"].shape == (6, 16) and bound["image"].dtype == np.float32
    assert bound["label"].dtype == np.int32 and bound["label"].flags.c_contiguous


@pytest.mark.parametrize(("array", "type_", "words"), [
    (np.zeros((4, 3)), f32[2, 5], ["3 values a sample", "5 values a sample"]),
    (np.array([0.0, 1.5]), i32[2], ["1.5", "whole numbers"]),
    (np.array([0, 300]), u8[2], ["0 to 300", "0 to 255"]),
    (np.array([-1, 3]), u8[2], ["-1 to 3"]),
    (np.array([0, 2]), bool_[2], ["0 to 1"]),
    (np.array([1e6]), f16[1], ["beyond f16"]),
    (np.array([np.nan]), f32[1], ["holds nan or an infinity", "finite numbers"]),
    (np.array([2**40]), i32[1], ["i32"]),
])
def test_bind_refuses_what_does_not_fit(array: Any, type_: Any, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        bind_arrays("d", {"v": array}, (port("v", type_),))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_bind_names_the_fields_there_are() -> None:
    with pytest.raises(DataError, match=r"no field 'image'.*x float64\[n, 2\].*image=FIELD"):
        bind_arrays("d", {"x": np.zeros((3, 2))}, (port("image", f32[2, 2]),))


PORTS = (port("x", f32[2, 3]), port("y", i32[2]))


def make_batches(count: int = 3) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.full((2, 3), i), np.array([i, i])) for i in range(count)]


@pytest.mark.parametrize("make", [
    lambda b: b, lambda b: (lambda epoch: iter(b)),
    lambda b: [{"x": x, "y": y} for x, y in b], lambda b: [list(pair) for pair in b],
])
def test_stream_forms(make: Any) -> None:
    stream = Stream(make(make_batches()), "s")
    for epoch in range(2):
        seen = [(n, float(b["x"][0, 0]), int(b["y"][1])) for n, b in stream.epoch(epoch, PORTS)]
        assert seen == [(2, 0.0, 0), (2, 1.0, 1), (2, 2.0, 2)]


def test_stream_from_a_generator_is_read_once() -> None:
    stream = Stream((pair for pair in make_batches()), "s")
    assert len(list(stream.epoch(0, PORTS))) == 3
    with pytest.raises(DataError, match=r"epoch 2.*cannot be again.*epochs=1"):
        list(stream.epoch(1, PORTS))


@pytest.mark.parametrize(("batch", "words"), [
    ((np.zeros((2, 3)),), ["1 arrays", "x, y"]),
    ((np.zeros((2, 3)), np.zeros(3)), ["x has 2, y has 3"]),
    ((np.zeros((0, 3)), np.zeros(0)), ["empty batch"]),
    ((np.zeros((2, 3)), np.float32(1)), ["'y'", "scalar"]),
    ((np.zeros((2, 3)), np.array(["a", "b"])), ["'y'", "<U1"]),
    ({"x": np.zeros((2, 3))}, ["no field 'y'"]),
])
def test_stream_batch_malformed(batch: Any, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        list(Stream([batch], "s").epoch(0, PORTS))
    message = str(caught.value)
    assert "epoch 1, batch 1" in message or len(words) == 2, message
    assert all(word in message for word in words), message


def test_load_dataset_takes_streams_and_datasets() -> None:
    data = load_dataset(make_batches())
    assert not data.in_memory and data.samples == 0
    pair = load_dataset((make_batches(), make_batches(1)))
    assert pair.test_stream is not None
    whole = Dataset("d", {"x": np.zeros(2)})
    assert load_dataset(whole) is whole
    with pytest.raises(DataError, match="gives no batches"):
        Stream(7, "s")


def test_a_caption_says_what_is_on_its_picture() -> None:
    data = load_dataset("captions")
    assert data.test is not None
    for part in (data.train, data.test):
        said = [[WORDS[w] for w in row if w] for row in part["caption"]]
        assert len({tuple(words) for words in said}) == 50
        for words, label in zip(said, part["label"], strict=True):
            assert [name for name in words if name in NAMES] == [NAMES[label]]
    assert dict(data.words) == {"caption": WORDS}


def test_texts_as_numbers() -> None:
    """Words between blanks with a filler, and characters without one."""
    for words, text, numbers in ((WORDS, "the  digit two", [WORDS.index(w) for w in (
            "the", "digit", "two")] + [0, 0]), (tuple("abc"), "cabca", [2, 0, 1, 2, 0])):
        assert encoded(words, text, LENGTH, "d", "t") == numbers
        rows = in_numbers([text, text], "t", {"t": words}, LENGTH, "d")
        assert rows.dtype == np.int32 and rows.tolist() == [numbers, numbers]
    for words, text, message in (
            (WORDS, "a handwritten eleven", "the word 'eleven' of .* is not in the data"),
            (WORDS, "a a a a a a", "has 6 words"), (tuple("abc"), "abca", "has 4 characters"),
            (tuple("abc"), "abxca", "the character 'x'")):
        with pytest.raises(DataError, match=message):
            encoded(words, text, LENGTH, "d", "t")
    with pytest.raises(DataError, match="x: 'two' is a text, and its data have no words for it"):
        in_numbers("two", "x", {"t": WORDS}, LENGTH, "d")
    given = np.zeros((2, LENGTH), np.int32)
    assert in_numbers(given, "t", {"t": WORDS}, LENGTH, "d") is given
