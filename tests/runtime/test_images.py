"""Folders of pictures: classes by folder, sizes, parts, and files that are none."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dlc
from dlc import f32, i32, nn, optim
from dlc.runtime.data import DataError, load_dataset

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(path: Path, color: Any = RED, size: tuple[int, int] = (8, 8), mode: str = "RGB",
            **options: Any) -> Path:
    """A picture of one color; `size` is width x height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)
    return path


def two_classes(root: Path, count: int = 10) -> Path:
    for k in range(count):
        picture(root / "red" / f"{k:02}.png", (255 - k, 0, 0))
        picture(root / "blue" / f"{k:02}.jpg", (0, 0, 255), quality=95)
    return root


def test_classes_are_folders_in_order_of_names(tmp_path: Path) -> None:
    """blue before red; pictures by name; the same fifth of each class held out at every reading."""
    (two_classes(tmp_path) / "red" / "Thumbs.db").write_bytes(b"no picture")
    picture(tmp_path / ".cache" / "x.png")
    data = load_dataset(tmp_path)
    assert data.test is not None
    assert data.classes == ("blue", "red")
    assert data.train["image"].shape == (16, 3, 8, 8) and data.train["image"].dtype == np.float32
    assert data.train["label"].dtype == np.int32
    np.testing.assert_array_equal(np.bincount(data.train["label"]), [8, 8])
    np.testing.assert_array_equal(np.bincount(data.test["label"]), [2, 2])
    reds = data.train["image"][data.train["label"] == 1][:, 0, 0, 0] * 255
    assert (np.diff(reds) < 0).all()
    held = data.test["image"][data.test["label"] == 1][:, 0, 0, 0] * 255
    assert {*map(round, reds)} | {*map(round, held)} == {255 - k for k in range(10)}
    again = load_dataset(str(tmp_path))
    np.testing.assert_array_equal(again.train["image"], data.train["image"])


def test_parts_that_the_folder_has(tmp_path: Path) -> None:
    two_classes(tmp_path / "train")
    two_classes(tmp_path / "val", 3)
    data = load_dataset(f"{tmp_path}?size=4&channels=1")
    assert data.test is not None
    assert data.train["image"].shape == (20, 1, 4, 4) and len(data.test["label"]) == 6
    picture(tmp_path / "val" / "green" / "0.png")
    with pytest.raises(DataError, match="has other classes than train: green"):
        load_dataset(tmp_path)
    two_classes(tmp_path / "test", 3)
    with pytest.raises(DataError, match="test and val are both there"):
        load_dataset(tmp_path)


def test_pictures_without_classes(tmp_path: Path) -> None:
    for k in range(4):
        picture(tmp_path / f"{k}.png", (k, 0, 0))
    data = load_dataset(tmp_path, test=0)
    assert list(data.train) == ["image"] and data.test is None
    np.testing.assert_allclose(data.train["image"][:, 0, 0, 0] * 255, [0, 1, 2, 3], atol=1e-5)


def halves(path: Path) -> None:
    """8 wide, 4 high: a dark half, a bright half."""
    pixels = np.zeros((4, 8), np.uint8)
    pixels[:, 4:] = 255
    Image.fromarray(pixels).save(path)


def test_sizes(tmp_path: Path) -> None:
    """crop keeps proportions and takes the middle, stretch does not; height x width."""
    halves(tmp_path / "a.png")

    def image(options: str) -> Any:
        return load_dataset(f"{tmp_path}?test=0&channels=1{options}").train["image"][0, 0]

    assert image("").shape == (4, 8)
    np.testing.assert_array_equal(image("&size=4"), [[0, 0, 1, 1]] * 4)  # columns 2 to 5
    stretched = image("&size=4&fit=stretch")
    np.testing.assert_array_equal(stretched[:, [0, 3]], [[0, 1]] * 4)
    assert image("&size=2x4").shape == (2, 4)
    picture(tmp_path / "b.png", size=(4, 4))
    with pytest.raises(DataError, match=r"b.png: is 4 x 4, and a.png 4 x 8; a size for all: .*"
                                        r"size=4x8"):
        image("")
    for wrong, told in {"size=0": "is no size", "size=axb": "is no size", "fit=zoom": "'zoom'",
                        "channels=4": "number of channels"}.items():
        with pytest.raises(DataError, match=told):
            image(f"&{wrong}")


@pytest.mark.parametrize("mode, color, want", [
    ("L", 51, (51, 51, 51)), ("1", 1, (255, 255, 255)), ("RGBA", (9, 8, 7, 100), (9, 8, 7)),
    ("LA", (40, 3), (40, 40, 40)), ("CMYK", (0, 0, 0, 255), (0, 0, 0))])
def test_kinds_of_pixels(mode: str, color: Any, want: Any, tmp_path: Path) -> None:
    kind = {"CMYK": "jpg"}.get(mode, "png")
    picture(tmp_path / f"a.{kind}", color, mode=mode)
    image = load_dataset(tmp_path, test=0).train["image"][0, :, 0, 0]
    np.testing.assert_allclose(image * 255, want, atol=1.5)


def test_pictures_stand_upright(tmp_path: Path) -> None:
    """A camera's note that the picture lies on its side (EXIF orientation 6) is followed."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "a.jpg", size=(8, 4), exif=exif)
    assert load_dataset(tmp_path, test=0).train["image"].shape == (1, 3, 8, 4)


def claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims width x height."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(
        b"IEND", b"")


def hostile(folder: Path) -> dict[str, str]:
    """Files that are no pictures by name, and what is said of each."""
    (folder / "bomb.png").write_bytes(claiming(9000, 9000))
    (folder / "huge.png").write_bytes(claiming(2**31 - 1, 2**31 - 1))
    (folder / "short.png").write_bytes(claiming(64, 64))
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(folder / "deep.png")
    Image.new("RGB", (4, 4)).save(folder / "named.png", format="TIFF")
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(folder / "nowhere")
    return {"bomb.png": "claims 324000000 bytes, and the file holds", "huge.png": "is no picture",
            "short.png": "is no picture", "text.png": "is no picture",
            "empty.jpg": "is no picture", "deep.png": "pixels of kind I", "pipe.png":
            "not a regular file", "named.png": "is no picture", "gone.png": "No such file"}


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    """By its name, in one line, before more is read than its bytes may hold."""
    root = tmp_path / "all"
    root.mkdir()
    for name, told in hostile(root).items():
        one = tmp_path / name.partition(".")[0]
        one.mkdir()
        os.rename(root / name, one / name)
        with pytest.raises(DataError, match=told) as raised:
            load_dataset(one, test=0)
        assert name in str(raised.value) and "\n" not in str(raised.value)
    (tmp_path / "classes" / "empty").mkdir(parents=True)
    picture(tmp_path / "classes" / "one" / "a.png")
    with pytest.raises(DataError, match="empty: holds no picture"):
        load_dataset(tmp_path / "classes")
    with pytest.raises(DataError, match=r"pictures: take \d+ bytes, more than fit"):
        load_dataset(tmp_path / "classes" / "one", test=0, size="90000")


def test_damaged_pictures_are_pictures_or_refused(tmp_path: Path) -> None:
    """Bytes changed, cut and put in, of each format: a DataError, or an array."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8))
    refused = 0
    for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM"):
        held = io.BytesIO()
        noise.save(held, kind)
        for _ in range(60):
            content = bytearray(held.getvalue())
            for _ in range(int(rng.integers(1, 4))):
                content[int(rng.integers(len(content)))] = int(rng.integers(256))
            if rng.random() < 0.3:
                del content[int(rng.integers(len(content))):]
            (tmp_path / "a.png").write_bytes(content)
            try:
                image = load_dataset(tmp_path, test=0, size="8").train["image"]
                assert image.shape == (1, 3, 8, 8) and 0 <= image.min() <= image.max() <= 1
            except DataError:
                refused += 1
    assert refused > 60


def test_without_pillow_it_says_what_to_install(tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"pip install 'dlc\[images\]'"):
        load_dataset(tmp_path)


def test_a_network_reads_colors(tmp_path: Path) -> None:
    """From folders to named classes of pictures without labels."""
    two_classes(tmp_path / "known")
    for k, color in enumerate((RED, BLUE, RED)):
        picture(tmp_path / "new" / f"{k}.png", color)
    head = nn.dense(2)

    @dlc.task(data=f"{tmp_path / 'known'}?size=2", optimizer=optim.adam(0.1), batch=8, epochs=10)
    def colors(image: f32["batch", 3, 2, 2], label: i32["batch"]) -> Any:
        logits = head(nn.flatten(image))
        return dlc.loss(nn.cross_entropy(logits, label), accuracy=nn.accuracy(logits, label))

    trained = colors.train()
    assert trained.metrics["accuracy"] == 1
    new = load_dataset(f"{tmp_path / 'new'}?size=2", test=0).train["image"]
    answers = trained.network.predict(new).argmax(1)
    assert [trained.network.classes[a] for a in answers] == ["red", "blue", "red"]
