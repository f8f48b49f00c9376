"""report.html: sound HTML that needs no network, escaped texts, and what each section says."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlc.ir.types import f32
from dlc.program import Buffer, Entry, Launch, Port, Program
from dlc.runtime import load
from dlc.runtime.data import Dataset
from dlc.runtime.report.answers import Answers, ask
from dlc.runtime.report.charts import Axis, Series, line_chart, nice_ticks, show_bytes
from dlc.runtime.report.classes import classify
from dlc.runtime.report.gather import gather_report
from dlc.runtime.report.images import diverging, find_images, first_filters, png, to_pixels
from dlc.runtime.report.memory import LaunchTime, live_bytes
from dlc.runtime.report.page import ReportInput, render, write_report
from dlc.runtime.report.values import Regression
from dlc.runtime.train.loop import train
from dlc.runtime.train.training import TrainConfig, TrainResult
from tests.runtime.handmade import final_bytes, initial, make_data, make_program

VOID = {"meta", "img", "br", "input", "hr", "link"}


class Checker(HTMLParser):
    """Collects tags and attributes; fails on tags that do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def check(html: str) -> Checker:
    checker = Checker()
    checker.feed(html)
    checker.close()
    assert checker.open == []
    return checker


def read_png(content: bytes) -> np.ndarray:
    """The pixels of a PNG without filters, every checksum verified."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    at, parts, header = 8, [], b""
    while at < len(content):
        size, kind = struct.unpack(">I4s", content[at:at + 8])
        body = content[at + 8:at + 8 + size]
        assert struct.unpack(">I", content[at + 8 + size:at + 12 + size])[0] == zlib.crc32(
            kind + body)
        header = body if kind == b"IHDR" else header
        parts += [body] if kind == b"IDAT" else []
        at += 12 + size
    width, height, depth, colour = struct.unpack(">IIBB", header[:10])
    assert depth == 8
    channels = {0: 1, 2: 3}[colour]
    rows = np.frombuffer(zlib.decompress(b"".join(parts)), np.uint8).reshape(height, -1)
    assert not rows[:, 0].any()
    shape = (height, width, channels) if channels > 1 else (height, width)
    return rows[:, 1:].reshape(shape)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (28, 28), (4, 7, 3)])
def test_png_round_trip(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(read_png(png(pixels)), pixels)


@pytest.mark.parametrize("pixels", [np.zeros((2, 2)), np.zeros(3, np.uint8),
                                    np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)])
def test_png_refuses_what_is_no_picture(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a picture"):
        png(pixels)


def test_pixels_and_weights() -> None:
    image = np.array([[[0.0, 0.5], [1.0, 2.0]]], np.float32)
    np.testing.assert_array_equal(to_pixels(image, 0, 1), [[0, 128], [255, 255]])
    assert to_pixels(np.zeros((3, 4, 5)), 0, 0).shape == (4, 5, 3)
    colours = diverging(np.array([[-2.0, 0.0, 2.0]]))
    assert colours[0, 1].tolist() == [255, 255, 255]
    assert colours[0, 0].tolist() == [194, 92, 8] and colours[0, 2].tolist() == [29, 78, 216]
    assert diverging(np.zeros((2, 2))).min() == 255


def test_find_images() -> None:
    arrays = {"x": np.zeros((2, 5)), "image": np.zeros((2, 3, 4, 4))}
    assert find_images(arrays) == "image"
    assert find_images({"x": np.zeros((2, 1, 1, 9)), "y": np.zeros((2, 2, 4, 4))}) is None


def test_first_filters() -> None:
    weights = {"conv": np.ones((70, 1, 5, 5), np.float32), "rgb": np.ones((4, 3, 5, 5)),
               "dense": np.arange(32, dtype=np.float32).reshape(16, 2), "b": np.zeros(4)}

    def pictures(name: str, sample: Any = None) -> Any:
        ports = [Port("b", f32[4], 0, "param"), Port(name, f32[weights[name].shape], 0, "param")]
        return first_filters(ports, weights.__getitem__, sample)[1]

    assert len(pictures("conv")) == 64 and pictures("conv")[0].shape == (5, 5, 3)
    assert pictures("rgb")[0].shape == (5, 5, 3)
    shown = pictures("dense", np.zeros((1, 4, 4)))
    assert len(shown) == 2
    np.testing.assert_array_equal(shown[1], diverging(weights["dense"][:, 1].reshape(4, 4)))
    assert pictures("dense", np.zeros((1, 5, 5))) == [] and pictures("dense") == []
    assert first_filters([], weights.__getitem__, None) == ("", [])


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.97, 0.991), (-3, 17), (5, 5), (0, 0),
                                           (1e-9, 3e-9), (0, 1e12)])
def test_ticks_cover_the_values(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 12
    steps = np.diff(ticks)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-6)
    axis = Axis([low, high], 100, 0)
    assert 0 <= axis.pixel(high) <= axis.pixel(low) <= 100


def test_line_chart_gaps_scale_and_hover_data() -> None:
    values = [100.0, float("nan"), None, 1.0, 0.01]
    html = line_chart("loss", "epoch", [1, 2, 3, 4, 5], [Series("train <ing>", "train", values)])
    checker = check(html)
    chart = next(a for t, a in checker.tags if t == "svg")
    assert "logarithmic" in html and "train &lt;ing&gt;" in html
    assert chart["role"] == "img" and chart["tabindex"] == "0"
    assert "from 100 to 0.01, lowest 0.01, highest 100" in str(chart["aria-label"])
    data = json.loads(str(chart["data-chart"]))
    assert data["series"][0]["text"] == ["100", "nan", "none", "1", "0.01"]
    ys = data["series"][0]["y"]
    assert ys[1] is None and ys[2] is None and ys[0] < ys[3] < ys[4]
    path = next(a["d"] for t, a in checker.tags if t == "path")
    assert path is not None and path.count("M") == 2, "the pen is lifted over the gap"
    assert "logarithmic" not in line_chart("t", "e", [1, 2], [Series("s", "single", [1, 99])],
                                           zero=True)
    assert "<circle" in line_chart("t", "e", [1], [Series("s", "single", [1.0])])
    check(line_chart("t", "e", [1, 2], [Series("s", "single", [None, None])]))


def test_show_bytes() -> None:
    assert [show_bytes(n) for n in (0, 1023, 1536, 5 << 20, 3 << 30)] == [
        "0 B", "1023 B", "1.5 KiB", "5 MiB", "3 GiB"]


def make_history(epochs: int, test: bool = True) -> list[dict[str, Any]]:
    return [{"epoch": e, "step": 12 * e, "samples": 90, "step_ms": 2.0 + 0.1 * (e % 2),
             "train": {"loss": 2.0 / e, "accuracy": 1 - 1 / (e + 1), "lr": 1e-3 / e},
             "test": {"loss": 2.5 / e, "accuracy": 0.5} if test else None}
            for e in range(1, epochs + 1)]


def answers_of(data: Dataset, scores: np.ndarray, kind: str = "classes", target: str = "label",
               **more: Any) -> Answers:
    """The answers `scores` to the test data, or to the training data where there are none."""
    arrays = data.test or data.train
    return Answers(kind, target, part="test" if data.test else "training", arrays=arrays,
                   of=len(scores), classes=data.classes, prediction=scores, **more)


def make_input(**changes: Any) -> ReportInput:
    """A run on 60 pictures of three classes, 6 of them answered wrongly."""
    rng = np.random.default_rng(3)
    label = np.arange(60, dtype=np.int32) % 3
    scores = np.eye(3, dtype=np.float32)[label] * 3
    scores[:6] = np.roll(scores[:6], 1, axis=1) * np.arange(1, 7)[:, None]
    image = rng.random((60, 1, 6, 6), np.float32)
    data = Dataset("pics", {"image": image, "label": label}, {"image": image, "label": label},
                   ("cat", "<dog>", "eel & co"))
    launches = (Launch("matmul<1>", (), ("m.py:3",)), Launch("adam", (), ("m.py:9",)))
    buffers = (Buffer("w", f32[64], 0, 256, "parameter", "train", -1, 2, "m.py:3"),
               Buffer("w", f32[64], 0, 256, "parameter", "eval", -1, 2, "m.py:3"),
               Buffer("w.m", f32[64], 256, 256, "state", "train", -1, 2, "m.py:9"),
               Buffer("image", f32[36], 512, 144, "input", "train", -1, 0, ""),
               Buffer("h", f32[256], 1024, 1024, "activation", "train", 0, 1, "m.py:<4>"),
               Buffer("other", f32[999], 1024, 3996, "activation", "eval", 0, 1, ""))
    program = Program("net", "cpu", {"train": Entry("train", launches, (), ())}, (), 4096,
                      (), buffers)
    result = TrainResult("net<script>", "cpu", 5, 60, 0.4, 0.5, {"accuracy": 0.9}, 2.05, 1.5,
                         4096, 128, Path("runs/last.safetensors"), best_epoch=4, train_s=3.25,
                         history=make_history(5))
    given = ReportInput(
        result, data, program, {"seed": 0, "note": "a<b>&c"}, answers_of(data, scores),
        {"Before": "def step(x: f32[2, <3>]):\n    return x"},
        (LaunchTime("matmul<1>", 3e-4, ("m.py:3",)), LaunchTime("adam", 1e-4, ("m.py:9",))),
        ("net.0.weight", [diverging(np.ones((5, 5)))]),
        about={"date": "2026-11-30 07:00 UTC", "seed": 0, "command": "dlc train 'a<b>.py'"})
    return replace(given, **changes)


def test_the_report_links_to_the_inspector() -> None:
    """Where one was written: its only reference, to a file beside it."""
    times = [LaunchTime("launch", 1e-6)]
    html = render(replace(make_input(), inspector="inspect.html", launch_times=times))
    links = [a for t, a in check(html).tags if t == "a"]
    assert [a["href"] for a in links] == ["inspect.html"]


def test_report_is_one_sound_file_without_references() -> None:
    html = render(make_input())
    checker = check(html)
    for tag, attributes in checker.tags:
        assert tag not in ("link", "iframe", "object", "base"), tag
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,"), (tag, name)
    assert "@import" not in html and "url(" not in html and "fetch(" not in html
    policy = next(a["content"] for t, a in checker.tags
                  if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy
    assert next(a for t, a in checker.tags if t == "html")["lang"] == "en"
    assert all(a.get("alt") for t, a in checker.tags if t == "img")
    assert all(a.get("aria-label") for t, a in checker.tags if t == "svg")
    for _, attributes in checker.tags:
        if (attributes.get("src") or "").startswith("data:"):
            read_png(base64.b64decode(str(attributes["src"]).split(",")[1]))


def test_report_escapes_every_text() -> None:
    html = render(make_input())
    assert html.count("<script>") == 1 and html.count("</script>") == 1
    for text in ("net<script>", "<dog>", "a<b>&c", "matmul<1>", "m.py:<4>", "f32[2, <3>]"):
        assert text not in html, text
    texts = "".join(check(html).texts)
    for text in ("net<script>", "<dog>", "a<b>&c", "matmul<1>", "m.py:<4>", "eel & co"):
        assert text in texts, text


def test_report_says_the_numbers() -> None:
    texts = " ".join(" ".join(check(render(make_input())).texts).split())
    for words in ("90.0%", "2026-11-30 07:00 UTC", "54 of 60 test samples are right, 6 wrong",
                  "2.05 ms", "1.50 s", "3.2 s", "best epoch 4", "dlc train 'a<b>.py'",
                  "The arena takes 4 KiB (4,096 bytes)", "2 launches take 0.4 ms", "75.0%",
                  "net.0.weight"):
        assert words in texts, words


def test_wrong_samples_come_first_most_confident_first() -> None:
    html = render(make_input())
    figures = re.findall(r'<figure class="(right|wrong)">.*?<figcaption>(.*?)</figcaption>', html)
    kinds = [kind for kind, _ in figures]
    assert kinds == ["wrong"] * 6 + ["right"] * 42
    shares = [int(re.findall(r"(\d+)%", words)[0]) for _, words in figures[:6]]
    assert shares == sorted(shares, reverse=True)
    assert "<br>is" in figures[0][1] and "<br>is" not in figures[-1][1]


def test_confusion_matrix_counts() -> None:
    found = classify(np.float32([[9, 0], [0, 9], [9, 0]]), np.array([0, 0, 1]))
    np.testing.assert_array_equal(found.confusion(2), [[1, 1], [1, 0]])
    assert found.wrong.tolist() == [1, 2] and found.doubtful.tolist() == [0]
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', render(make_input()))
    assert [re.findall(r">(\d+)</td>", cells) for _, cells in rows[:3]] == [
        ["18", "2", "0"], ["0", "18", "2"], ["2", "0", "18"]]


def test_classify_takes_logits_probabilities_and_single_scores() -> None:
    logits = classify(np.float32([[0, np.log(3)]]), np.array([1]))
    assert logits.said.tolist() == [1] and abs(float(logits.confidence[0]) - 0.75) < 1e-6
    odds = classify(np.float32([[0.75, 0.25]]), np.array([[1]]))
    assert odds.said.tolist() == [0] and abs(float(odds.confidence[0]) - 0.75) < 1e-6
    single = classify(np.float32([-2, 5]), np.array([0, 1]))
    assert single.said.tolist() == [0, 1] and single.confidence.min() > 0.85
    share = classify(np.float32([0.25, 0.75]), np.array([0, 1]))
    assert share.said.tolist() == [0, 1] and share.confidence.tolist() == [0.75, 0.75]


def test_many_classes_get_a_list() -> None:
    label = np.arange(80, dtype=np.int32) % 40
    scores = np.eye(40, dtype=np.float32)[(label + (np.arange(80) == 3)) % 40]
    data = Dataset("d", {"x": np.zeros((80, 2)), "label": label})
    html = render(make_input(dataset=data, answers=answers_of(data, scores)))
    check(html)
    assert 'class="confusion"' not in html and "Confused most often" in html
    assert "80 training samples" in html.replace("79 of ", "")


def test_regression_report() -> None:
    y = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    data = Dataset("line", {"x": y, "y": y}, {"x": y, "y": y})
    answers = answers_of(data, y[:, 0] + np.float32(0.1), "values", "y")
    html = render(make_input(dataset=data, answers=answers, filters=("", ())))
    check(html)
    assert "R²" in html and "Confusion" not in html and "First layer" not in html
    found = Regression(np.float32([1, 2, 3]), np.float32([1, 2, 4]))
    assert abs(found.r2 - 0.5) < 1e-6
    assert Regression(np.float32([2, 2]), np.float32([1, 2])).r2 == 0


def test_yes_or_no_model_counts_as_classes() -> None:
    y = np.float32([[0], [1], [1], [0]])
    data = Dataset("xor", {"x": np.zeros((4, 2)), "y": y}, {"x": np.zeros((4, 2)), "y": y})
    answers = answers_of(data, np.float32([[-3], [3], [3], [3]]), "yes_no", "y")
    html = render(make_input(dataset=data, answers=answers))
    assert "3 of 4 test samples are right" in html


@pytest.mark.parametrize("changes", [
    {"answers": Answers()}, {"settings": {}, "graphs": {}, "launch_times": ()},
    {"entry": "other"}, {"about": {}},
    {"answers": Answers("classes", "label", prediction=np.zeros((9, 3), np.float32))},
])
def test_what_is_missing_is_left_out(changes: dict[str, Any]) -> None:
    check(render(make_input(**changes)))


def test_report_of_nothing() -> None:
    result = TrainResult("m", "cpu", 0, 0, None, None, {}, None, 0.0, 0, 0, None)
    html = render(ReportInput(result, Dataset("d", {}, stream=[]), Program("m", "cpu", {}, (), 0)))
    assert "no epoch complete" in html
    check(html)


def test_history_without_test_data() -> None:
    given = make_input()
    html = render(replace(given, result=replace(given.result, history=make_history(1, False))))
    assert ">test</span>" not in html
    check(html)


def test_live_bytes_counts_each_value_once() -> None:
    table = live_bytes(make_input().program, "train")
    assert table["parameter"] == [256, 256] and table["state"] == [256, 256]
    assert table["input"] == [144, 0] and table["activation"] == [1024, 1024]


def test_write_report_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    write_report(path, make_input())
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.fixture(scope="module")
def loaded() -> Iterator[Any]:
    with load(make_program(), threads=1) as program:
        yield program


def test_predict_covers_a_smaller_last_batch(loaded: Any) -> None:
    data = make_data()
    assert data.test is not None
    loaded.write("w", np.float32([1, -2, 0.5]))
    loaded.write("b", np.float32(0.25))
    said = ask(loaded, data, {"kind": "values", "target": "y"}).prediction
    assert said is not None and said.shape == (35,)
    np.testing.assert_allclose(said, data.test["y"][:, 0], atol=1e-5)
    assert ask(loaded, Dataset("s", {}, stream=[]), {"kind": "values"}).prediction is None
    assert ask(loaded, data, {}).prediction is None


def test_gathered_report_leaves_the_parameters(loaded: Any) -> None:
    data = make_data()
    config = TrainConfig("line", epochs=3, batch=16, save_seconds=1e9)
    result = train(loaded, config, data, None, initial)
    before = final_bytes(loaded)
    given = gather_report(loaded, result, data, {"seed": 0}, {}, {})
    assert final_bytes(loaded) == before
    assert [t.name for t in given.launch_times] == ["sgd"]
    assert given.launch_times[0].seconds > 0
    assert given.launch_times[0].lines == ("models/line.py:3",)
    html = render(given)
    check(html)
    assert "R²" not in html and "models/line.py:3" in html
