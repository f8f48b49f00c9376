"""Loaders of .npy, .npz and text: sound files and malformed ones."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dlc import intake
from dlc.runtime.data import DataError, load_dataset, npy
from tests.runtime.test_data_files import refuse


def load_npy(path: Path) -> np.ndarray:
    return npy.load_npy(path, intake.Intake(path, DataError))


def read_npz(path: Path) -> dict[str, np.ndarray]:
    return npy.read_npz(path, intake.Intake(path, DataError))


def test_npy_and_npz(tmp_path: Path) -> None:
    for order in ("C", "F"):
        for kind in ("<f4", ">f8", "<i8", "u1", "?"):
            array = np.asarray(np.arange(12).reshape(4, 3) % 2, kind, order=order)
            np.save(tmp_path / "x.npy", array)
            back = load_npy(tmp_path / "x.npy")
            np.testing.assert_array_equal(back, array)
            assert back.dtype.isnative and back.flags.c_contiguous
    np.savez_compressed(tmp_path / "d.npz", x_train=np.ones((6, 2)), y_train=np.zeros(6),
                        x_test=np.ones((3, 2)), y_test=np.zeros(3))
    data = load_dataset(f"{tmp_path}/d.npz?image=x&label=y")
    assert (data.samples, data.test_samples) == (6, 3)
    assert sorted(data.train) == ["image", "label"]


def test_npz_scales_images(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.full((5, 2, 2), 255, np.uint8), y=np.arange(5, dtype="u1"))
    data = load_dataset(f"{tmp_path}/d.npz?scale=255")
    assert data.train["x"].dtype == np.float32 and data.train["x"].max() == 1.0
    assert data.train["y"].dtype == np.uint8


def test_npy_truncated_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(6, dtype=np.int16).reshape(2, 3))
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        refuse(lambda: load_npy(path), "x.npy", "the header" if cut < 128 else f"byte {cut}")
    path.write_bytes(whole + b"\0")
    refuse(lambda: load_npy(path), f"byte {len(whole)}", "follow")


def npy_with_header(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode("latin1") + b"\n"
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little") + text + data


@pytest.mark.parametrize(("content", "words"), [
    (b"\x93NUMPX\1\0", ["header", "magic"]),
    (b"\x93NUMPY\x09\0", ["header", "version (9, 0)"]),
    (npy_with_header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x"),
     ["object", "never unpickled"]),
    (npy_with_header("{'descr': '<U3', 'fortran_order': False, 'shape': (1,), }"), ["<U3"]),
    (npy_with_header("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }"), ["complex"]),
    (npy_with_header("{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (1,), }"),
     ["not a number"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }"),
     ["memory"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2**70), }".replace(
        "2**70", str(2**70))), ["memory"]),
    (npy_with_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {(1,) * 70}}}", b"1"),
     ["70 axes"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "9" * 4000 + ",)}"),
     ["memory"]),
    (npy_with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (2**40,), }".replace(
        "2**40", str(2**40))), ["claims", "100 times"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), ["negative"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': 3, }"), ["header"]),
    (npy_with_header("{'descr': '<f4', 'shape': (3,), }"), ["header"]),
    (npy_with_header("__import__('os').getcwd()"), ["header"]),
    (npy_with_header("(" * 5000), ["header"]),
    (npy_with_header("{'descr': 'zz', 'fortran_order': False, 'shape': (3,), }"), ["header"]),
    (b"\x93NUMPY\2\0\xff\xff\xff\x7f", ["header"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b"1234567"),
     ["ends inside"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (), }", b"1234"),
     ["single number"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2147483647, 0), }"),
     ["2147483647 samples of no values"]),
    (npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
                     np.float32([1, np.nan]).tobytes()), ["nan at index [1]"]),
])
def test_npy_malformed(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    refuse(lambda: load_dataset(path), "x.npy", *words)


def npz_bytes(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return stream.getvalue()


def test_npz_truncated_and_flipped_at_every_byte(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=np.arange(4, dtype=np.int8))
    whole, path = stream.getvalue(), tmp_path / "x.npz"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        refuse(lambda: read_npz(path), "x.npz")
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1:])
        try:
            arrays = read_npz(path)
        except DataError as error:
            assert "x.npz" in str(error)
        else:  # a byte that says nothing: time, system, attributes; or the member's name
            for array in arrays.values():
                np.testing.assert_array_equal(array, np.arange(4))


def test_npz_malformed(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    good = npy_with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (2,), }", b"12")
    path.write_bytes(npz_bytes(x=good + bytes(3000)))
    refuse(lambda: load_dataset(path), "member 'x'", "follow")
    path.write_bytes(npz_bytes(x=good + bytes(30_000_000)))  # a bomb behind the array
    refuse(lambda: load_dataset(path), "x.npz", "claims", "100 times")
    path.write_bytes(npz_bytes(x=b"\x80\x04K\x01."))  # a pickle
    refuse(lambda: load_dataset(path), "x.npz")
    path.write_bytes(npz_bytes(x=good, y=good[:-2] + b"3"))
    refuse(lambda: load_dataset(path), "ends inside")
    path.write_bytes(npz_bytes())
    refuse(lambda: load_dataset(path, test=0), "no array")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    path.write_bytes(stream.getvalue())
    refuse(lambda: load_dataset(path), "readme.txt", "NAME.npy")
    np.savez(path, x=np.ones((3, 2)), y=np.ones(4))
    refuse(lambda: load_dataset(path), "x has 3, y has 4")
    np.savez(path, x_train=np.ones(3), x_test=np.ones(4), y_test=np.ones(4))
    refuse(lambda: load_dataset(path), "x, y", "the same fields")
    np.savez(path, x=np.array([None, 1], dtype=object))
    refuse(lambda: load_dataset(path), "never unpickled")


def test_text_windows(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("abcdéfgha\n" * 4, encoding="utf-8")
    data = load_dataset(f"{path}?length=4&test=0.25")
    assert data.test is not None and data.classes == tuple("\nabcdfghé")
    text = "".join(data.classes[i] for i in data.train["x"].ravel())
    assert text == ("abcdéfgha\n" * 3)[:28]
    after = "".join(data.classes[i] for i in data.train["y"].ravel())
    assert after == ("abcdéfgha\n" * 3)[1:29]


@pytest.mark.parametrize(("content", "options", "words"), [
    (b"", {}, ["empty"]),
    (b"ab\xc3", {}, ["byte 2", "UTF-8"]),
    (b"ab\0c", {}, ["byte 2", "NUL"]),
    (b"abcdef", {"length": 4}, ["6 characters", "too few"]),
    (b"abcdef", {"length": 0}, ["length", "0 characters"]),
    (b"abcdef", {"length": "x"}, ["option length", "'x'"]),
    (b"abcdef" * 9, {"length": 2, "test": 1.5}, ["test", "1.5"]),
])
def test_text_malformed(tmp_path: Path, content: bytes, options: dict[str, object],
                        words: list[str]) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    refuse(lambda: load_dataset(path, **options), "t.txt", *words)


def test_more_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.txt"
    path.write_bytes(b"a" * 600)
    monkeypatch.setattr(intake, "memory_limit", lambda: 2000)
    refuse(lambda: load_dataset(path), "600 bytes", "memory of 2000", "iterator")
    np.save(tmp_path / "x.npy", np.zeros(600))
    refuse(lambda: load_npy(tmp_path / "x.npy"), "4800 bytes", "memory of 2000")
