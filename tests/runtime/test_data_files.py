"""Loaders of IDX, CIFAR-10 and CSV: sound files and malformed ones."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dlc.intake import Intake
from dlc.runtime.data import DataError, idx, load_dataset
from dlc.runtime.data.cifar import RECORD
from tests.idx_files import idx_bytes


def refuse(load: Callable[[], object], *words: str) -> None:
    """Assert that `load` raises a DataError of one line that holds all `words`."""
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message


def read_idx(path: Path) -> np.ndarray:
    return idx.read_idx(path, Intake(path, DataError))


def images(count: int = 10, size: int = 5) -> np.ndarray:
    return (np.arange(count * size * size) % 251).astype(np.uint8).reshape(count, size, size)


def write_mnist(folder: Path, packed: bool = False) -> None:
    for part, count in (("train", 10), ("t10k", 4)):
        files = {f"{part}-images-idx3-ubyte": images(count),
                 f"{part}-labels-idx1-ubyte": (np.arange(count) % 10).astype(np.uint8)}
        for name, array in files.items():
            content = idx_bytes(array)
            path = folder / (name + ".gz" if packed else name)
            path.write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [False, True])
def test_mnist_folder(tmp_path: Path, packed: bool) -> None:
    write_mnist(tmp_path, packed)
    data = load_dataset(tmp_path)
    assert data.test is not None
    assert data.train["image"].shape == (10, 1, 5, 5) and data.test["image"].shape == (4, 1, 5, 5)
    expected = images()[:, None].astype(np.float32) / 255
    np.testing.assert_allclose(data.train["image"], expected, rtol=1e-6)
    assert data.train["label"].dtype == np.int32
    assert data.classes == tuple("0123456789")


def test_mnist_single_file_holds_out_a_fifth(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    data = load_dataset(tmp_path / "train-images-idx3-ubyte")
    assert (data.samples, data.test_samples) == (8, 2)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.int32, np.float32, np.float64])
def test_idx_round_trip(tmp_path: Path, dtype: type) -> None:
    path = tmp_path / "a.idx"
    array = np.arange(-6, 6).astype(dtype).reshape(3, 4)
    path.write_bytes(idx_bytes(array))
    back = read_idx(path)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)


def test_idx_truncated_at_every_byte(tmp_path: Path) -> None:
    whole = idx_bytes(images(2, 3))
    path = tmp_path / "a.idx"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        refuse(lambda: read_idx(path), "a.idx", f"byte {cut}", "ends inside")


def test_idx_gzip_truncated_at_every_byte(tmp_path: Path) -> None:
    whole = gzip.compress(idx_bytes(images(2, 3)))
    path = tmp_path / "a.idx.gz"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        refuse(lambda: read_idx(path), "a.idx.gz")


def test_idx_gzip_with_every_byte_flipped_is_refused_or_equal(tmp_path: Path) -> None:
    whole = gzip.compress(idx_bytes(images(2, 3)), mtime=0)
    path = tmp_path / "a.idx.gz"
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1:])
        try:
            back = read_idx(path)
        except DataError as error:
            assert "a.idx.gz" in str(error)
        else:  # the flipped byte was one of gzip's informative ones (time, system)
            np.testing.assert_array_equal(back, images(2, 3))


@pytest.mark.parametrize(("content", "words"), [
    (b"\0\1\x08\1\0\0\0\1a", ["byte 0", "magic"]),
    (b"\0\0\x07\1\0\0\0\1a", ["byte 2", "0x07", "0x08"]),
    (b"\0\0\x08\0", ["byte 3", "0 axes"]),
    (b"\0\0\x08\x09" + b"\0\0\0\1" * 9 + b"a", ["byte 3", "9 axes"]),
    (b"\0\0\x08\3" + b"\xff" * 12, ["byte 4", "memory"]),
    (b"\0\0\x08\3" + b"\xff" * 4 + bytes(4) + b"\xff" * 4, ["byte 4", "memory"]),
    (b"\0\0\x08\1\x7f\xff\xff\xff" + b"a", ["byte 4", "claims 2147483647", "holds 9"]),
    (b"\0\0\x08\1\0\0\0\1ab", ["byte 9", "follow"]),
    (b"PK\3\4 not an idx file", ["magic"]),
])
def test_idx_malformed(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "a.idx"
    path.write_bytes(content)
    refuse(lambda: read_idx(path), "a.idx", *words)


def test_idx_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "a.idx.gz"
    path.write_bytes(gzip.compress(idx_bytes(images(1, 3)) + bytes(50_000_000)))
    refuse(lambda: read_idx(path), "byte 25", "follow")


def test_idx_images_and_labels_must_belong_together(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    label = tmp_path / "train-labels-idx1-ubyte"
    label.write_bytes(idx_bytes(np.zeros(9, np.uint8)))
    refuse(lambda: load_dataset(tmp_path), "10 images", "9 labels")
    label.write_bytes(idx_bytes(np.zeros((10, 1), np.uint8)))
    refuse(lambda: load_dataset(tmp_path), "2 axes", "00000801")
    label.unlink()
    refuse(lambda: load_dataset(tmp_path), "no label file")
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(np.zeros(9, np.uint8)))
    label.write_bytes(idx_bytes(np.zeros(9, np.uint8)))
    refuse(lambda: load_dataset(tmp_path), "3 axes")
    for name in ("images-idx3", "labels-idx1"):
        shape = (0, 5, 5) if name.startswith("images") else (0,)
        (tmp_path / f"train-{name}-ubyte").write_bytes(idx_bytes(np.zeros(shape, np.uint8)))
    refuse(lambda: load_dataset(tmp_path), "no sample")


def write_cifar(folder: Path) -> np.ndarray:
    records = (np.arange(12 * RECORD) % 253).astype(np.uint8).reshape(12, RECORD)
    records[:, 0] = np.arange(12) % 10
    (folder / "data_batch_1.bin").write_bytes(records[:5].tobytes())
    (folder / "data_batch_2.bin").write_bytes(records[5:10].tobytes())
    (folder / "test_batch.bin").write_bytes(records[10:].tobytes())
    return records


def test_cifar_folder(tmp_path: Path) -> None:
    records = write_cifar(tmp_path)
    data = load_dataset(tmp_path)
    assert data.test is not None and data.classes[3] == "cat"
    assert data.train["image"].shape == (10, 3, 32, 32) and data.test_samples == 2
    np.testing.assert_allclose(data.train["image"][7, 2, 31, 30], records[7, -2] / 255, rtol=1e-6)
    np.testing.assert_array_equal(data.train["label"], np.arange(10))


def test_cifar_malformed(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_1.bin"
    whole = path.read_bytes()
    for cut in (0, 1, RECORD - 1, RECORD + 1, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refuse(lambda: load_dataset(tmp_path), "data_batch_1.bin", "3073")
    path.write_bytes(whole[:RECORD] + b"\x0b" + whole[RECORD + 1:])
    refuse(lambda: load_dataset(tmp_path), f"byte {RECORD}", "label 11", "record 1")
    path.write_bytes(whole)
    (tmp_path / "batches.meta.txt").write_text("cat dog")
    refuse(lambda: load_dataset(tmp_path), "2 names")


def write_csv(tmp_path: Path, text: str | bytes, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_csv_with_header_and_words_as_target(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "a,b,kind\r\n1,2.5,dog\r\n-3e2,4,cat\r\n5,6,dog\r\n")
    data = load_dataset(path, test=0)
    assert data.classes == ("cat", "dog")
    np.testing.assert_array_equal(data.train["label"], [1, 0, 1])
    np.testing.assert_array_equal(data.train["x"], np.float32([[1, 2.5], [-300, 4], [5, 6]]))


@pytest.mark.parametrize(("name", "text"), [
    ("t.csv", "1,2,3\n4,5,6\n"), ("t.tsv", "1\t2\t3\n4\t5\t6\n"), ("t.csv", "1;2;3\n\n4;5;6"),
    ("t.csv", "\ufeffp,q,r\n1,2,3\n4,5,6\n"), ("t.csv", '"p","q, too","r"\n1, 2,"3"\n4,5,6\n'),
])
def test_csv_dialects(tmp_path: Path, name: str, text: str) -> None:
    data = load_dataset(write_csv(tmp_path, text, name), test=0)
    np.testing.assert_array_equal(data.train["x"], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(data.train["y"], [3, 6])


def test_csv_target_by_name_and_number(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "y,a,b\n1,2,3\n4,5,6\n")
    for target in ("y", "0", "-3"):
        data = load_dataset(f"{path}?target={target}&test=0")
        np.testing.assert_array_equal(data.train["y"], [1, 4])
    refuse(lambda: load_dataset(path, target="z"), "target=z", "y, a, b")
    refuse(lambda: load_dataset(path, target="3"), "target=3", "-3 to 2")
    refuse(lambda: load_dataset(path, target="--1"), "target=--1", "-3 to 2")
    refuse(lambda: load_dataset(path, target="9" * 5000), "no such column", "-3 to 2")


@pytest.mark.parametrize(("text", "words"), [
    ("", ["empty"]),
    ("\n\n", ["no row"]),
    ("a,b\n", ["header and no row"]),
    ("a,a\n1,2\n", ["line 1", "same name"]),
    ("a\n1\n2\n", ["one column"]),
    ("1,2,3\n4,5\n", ["line 2", "2 cells", "3"]),
    ("a,b\n1,2\n3,4,5\n", ["line 3", "3 cells"]),
    ("a,b,c\n1,2,3\n4,x,6\n", ["line 3", "column 2 (b)", "'x' is not a number"]),
    ("a,b,c\n1,2,3\n4,,6\n", ["line 3", "column 2 (b)", "empty"]),
    ("a,b,c\n1,2,3\n4,nan,6\n", ["line 3", "column 2 (b)", "not finite"]),
    ("a,b,c\n1,2,3\n4,5,inf\n", ["line 3", "column 3 (c)", "not finite"]),
    ("a,b,c\n1,2,3\n4,1_0,6\n", ["line 3", "'1_0' is not a number"]),
    ("a,b,c\n1,2,3\n4,5,six\n", ["line 3", "column 3 (c)", "'six' is not a number"]),
    ("a,b,c\n1,2,dog\n4,5,\n", ["line 3", "column 3 (c)", "empty"]),
    ('a,b\n1,2\n"3,4\n', ["line 3", "not CSV"]),
    ("a,b\n1," + "9" * 5000 + "\n", ["line 2", "not CSV"]),
    (b"a,b\n1,\xff\n", ["byte 6", "UTF-8"]),
    (b"a,b\n1,2\n\0,3\n", ["byte 8", "NUL"]),
    ("a,b\n1,1e400\n", ["not finite"]),
    ("1,2\n", ["1 samples", "none to train on"]),
])
def test_csv_malformed(tmp_path: Path, text: str | bytes, words: list[str]) -> None:
    path = write_csv(tmp_path, text)
    refuse(lambda: load_dataset(path), "t.csv", *words)


def test_csv_value_beyond_f32_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "a,b\n1,2\n1e39,3\n")
    refuse(lambda: load_dataset(path, test=0), "line 3, column 1 (a)", "1e39", "beyond f32")
    path = write_csv(tmp_path, "a,b\n1,2\n1,1e300\n")
    refuse(lambda: load_dataset(path, test=0), "line 3, column 2 (b)", "1e300", "beyond f32")


def test_random_bytes_never_raise_anything_else(tmp_path: Path) -> None:
    draw = random.Random(7)
    heads = (b"", b"\0\0\x08\3", b"\x1f\x8b\x08\0", b"PK\3\4", b"\x93NUMPY\1\0\x20\0", b"a,b\n1,")
    for round_ in range(300):
        kind = ("idx", "cifar", "csv", "npy", "npz", "text")[round_ % 6]
        path = tmp_path / f"f.{kind}"
        path.write_bytes(draw.choice(heads) + draw.randbytes(draw.randrange(1, 60)))
        try:
            load_dataset(path, kind=kind, length=2)
        except DataError as error:
            assert "\n" not in str(error)


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(lambda: load_dataset("digitz"), "did you mean 'digits'?")
    refuse(lambda: load_dataset(""), "no such file")
    refuse(lambda: load_dataset("?test=0"), "no such file")
    refuse(lambda: load_dataset("~nosuch/x"), "~nosuch", "home")
    refuse(lambda: load_dataset("a\0b"), "NUL")
    refuse(lambda: load_dataset("a" * 5000), "a" * 100, "too long")
    refuse(lambda: load_dataset({"x": [[1, 2], [3], "a"]}), "field 'x'", "is not an array")
    refuse(lambda: load_dataset("digits", size=None), "option size", "None")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    refuse(lambda: load_dataset("~/x"), "~/x", "home")
    refuse(lambda: load_dataset(tmp_path), "without data that dlc knows")
    refuse(lambda: load_dataset(tmp_path / "none.csv"), "no such file")
    (tmp_path / "what.xyz").write_bytes(b"12345678")
    refuse(lambda: load_dataset(tmp_path / "what.xyz"), "kind=")
    refuse(lambda: load_dataset(tmp_path / "what.xyz", kind="parquet"), "'parquet'", "idx")
    refuse(lambda: load_dataset(42), "int is not data")
    refuse(lambda: load_dataset("digits?test=lots"), "option test", "'lots'")
    refuse(lambda: load_dataset("digits?scale=0"), "scale")
    refuse(lambda: load_dataset("digits?size=3"), "size", "3")
    refuse(lambda: load_dataset("digits?x=picture"), "no field 'picture'", "image, label")
    refuse(lambda: load_dataset("digits?image=label"), "its own name")
