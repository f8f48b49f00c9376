"""A linear regression as a Program written by hand, to run the training loop without a compiler.

As a script it trains and writes the final parameters: `python -m tests.runtime.handmade OUT ...`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from dlc.ir.types import f32, i32
from dlc.program import Entry, Kernel, Launch, Parameter, Port, Program, Segment, Slot
from dlc.runtime import load
from dlc.runtime.data import Dataset
from dlc.runtime.train.loop import train
from dlc.runtime.train.progress import PlainProgress
from dlc.runtime.train.training import Callbacks, TrainConfig, TrainResult

FEATURES = 3

STEP = '''def sgd(x, y, w, b, seen, step, loss, gap, lr, fault, rows, chunk):
    """One step of least squares: the rate falls with the step, a bad loss changes nothing."""
    gw = local_f32(3)
    for j in range(3):
        gw[j] = f32(0.0)
    gb = f32(0.0)
    total = f32(0.0)
    far = f32(0.0)
    for i in range(rows):
        said = b[0]
        for j in range(3):
            said += x[i * 3 + j] * w[j]
        off = said - y[i]
        total += off * off
        if off * off > far:
            far = off * off
        gb += off
        for j in range(3):
            gw[j] += off * x[i * 3 + j]
    mean = total / f32(rows)
    loss[0] = mean
    gap[0] = far
    rate = f32(0.2) / (f32(1.0) + f32(0.01) * f32(step[0]))
    lr[0] = rate
    fault[0] = i32(0)
    if not (mean < f32(1e30)):
        fault[0] = i32(7)
    else:
        for j in range(3):
            w[j] -= rate * gw[j] / f32(rows)
        b[0] -= rate * gb / f32(rows)
        seen[0] += i32(rows)
'''

TEST = '''def measure(x, y, w, b, loss, gap, said, fault, rows, chunk):
    """Mean square, largest square and answers of a batch."""
    total = f32(0.0)
    far = f32(0.0)
    for i in range(rows):
        value = b[0]
        for j in range(3):
            value += x[i * 3 + j] * w[j]
        said[i] = value
        off = value - y[i]
        total += off * off
        if off * off > far:
            far = off * off
    loss[0] = total / f32(rows)
    gap[0] = far
    fault[0] = i32(0)
    if not (total < f32(1e30)):
        fault[0] = i32(7)
'''

POINTERS = {
    "sgd": [("x", "f32", 0), ("y", "f32", 0), ("w", "f32", 1), ("b", "f32", 1), ("seen", "i32", 1),
            ("step", "i32", 0), ("loss", "f32", 1), ("gap", "f32", 1), ("lr", "f32", 1),
            ("fault", "i32", 1)],
    "measure": [("x", "f32", 0), ("y", "f32", 0), ("w", "f32", 0), ("b", "f32", 0),
                ("loss", "f32", 1), ("gap", "f32", 1), ("said", "f32", 1), ("fault", "i32", 1)],
}
TEXTS = {"sgd": STEP, "measure": TEST}
OFFSETS = {"w": 0, "b": 64, "seen": 128, "step": 192, "loss": 256, "gap": 320, "lr": 384,
           "fault": 448, "y": 512, "said": 4608, "x": 8704}
ARENA = 8704 + 1024 * 12


def kernel(name: str) -> Kernel:
    pointers = [Parameter(n, d, "pointer", bool(written)) for n, d, written in POINTERS[name]]
    return Kernel(name, (*pointers, Parameter("rows", "i64", "scalar")), TEXTS[name])


def entry(name: str, which: str, rows: int) -> Entry:
    """An entry over `rows` samples: "sgd" or "measure"."""
    number = 0 if which == "sgd" else 1
    slots = [Slot(OFFSETS[n]) for n, _, _ in POINTERS[which]]
    launch = Launch(which, ((Segment(number, (*slots, rows), 1),),), ("models/line.py:3",))
    data = [Port("x", f32[rows, FEATURES], OFFSETS["x"]), Port("y", f32[rows, 1], OFFSETS["y"])]
    inputs = [*data, Port("step", i32[()], OFFSETS["step"], "step")] if which == "sgd" else data
    outputs = [Port("loss", f32[()], OFFSETS["loss"]), Port("gap", f32[()], OFFSETS["gap"])]
    outputs += [Port("lr", f32[()], OFFSETS["lr"])] if which == "sgd" else []
    outputs += [Port("prediction", f32[rows], OFFSETS["said"])] if which == "measure" else []
    return Entry(name, (launch,), tuple(inputs),
                 (*outputs, Port("fault", i32[()], OFFSETS["fault"], "fault")))


def make_program(batch: int = 16, tail: int = 5, test_tail: int = 3) -> Program:
    """Entries train, train_tail, eval, eval_tail; parameters w, b; state seen."""
    entries = [entry("train", "sgd", batch), entry("eval", "measure", batch)]
    entries += [entry("train_tail", "sgd", tail)] if tail else []
    entries += [entry("eval_tail", "measure", test_tail)] if test_tail else []
    persistent = (Port("w", f32[FEATURES], OFFSETS["w"], "param"),
                  Port("b", f32[()], OFFSETS["b"], "param"),
                  Port("seen", i32[()], OFFSETS["seen"], "state"))
    return Program("line", "cpu", {e.name: e for e in entries},
                   (kernel("sgd"), kernel("measure")), ARENA, persistent)


def make_data(train_count: int = 85, test_count: int = 35) -> Dataset:
    """y = x @ (1, -2, 0.5) + 0.25, exactly learnable."""
    words = np.random.Philox(key=2).random_raw((train_count + test_count) * FEATURES)
    x = (words.astype(np.float64) / 2**63 - 1).astype(np.float32).reshape(-1, FEATURES)
    y = (x @ np.array([1, -2, 0.5], np.float32) + np.float32(0.25))[:, None]
    return Dataset("plane", {"x": x[:train_count], "y": y[:train_count]},
                   {"x": x[train_count:], "y": y[train_count:]})


def initial() -> dict[str, np.ndarray[Any, Any]]:
    return {"w": np.zeros(FEATURES, np.float32), "b": np.zeros((), np.float32),
            "seen": np.zeros((), np.int32)}


def final_bytes(loaded: Any) -> str:
    """The persistent values as text, to compare bit by bit."""
    return " ".join(loaded.read(name).tobytes().hex() for name in ("w", "b", "seen"))


def main(arguments: list[str]) -> TrainResult:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--save-steps", type=int, default=3)
    parser.add_argument("--save-seconds", type=float, default=1e9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--samples", type=int, default=85)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args(arguments)
    config = TrainConfig("line", epochs=given.epochs, batch=16, seed=3, resume=given.resume,
                         save_steps=given.save_steps, save_seconds=given.save_seconds)
    with load(make_program(), threads=given.threads) as loaded:
        result = train(loaded, config, make_data(given.samples), given.out, initial,
                       Callbacks(PlainProgress(sys.stdout)))
        print("final", final_bytes(loaded), flush=True)
    return result


if __name__ == "__main__":
    sys.exit(130 if main(sys.argv[1:]).interrupted else 0)
