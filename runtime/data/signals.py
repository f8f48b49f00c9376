"""Data made by an exact rule for regressions and filters: linear, echo, quadratic, wave."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlc.runtime.data.dataset import Dataset
from dlc.runtime.data.options import Options

Floats = np.ndarray[Any, np.dtype[Any]]

# The regression that `linear` is drawn from: y = x @ LINEAR_WEIGHTS + LINEAR_BIAS + noise.
LINEAR_WEIGHTS = (1.5, -2.0, 0.5, 3.0, -1.0, 0.25, 0.0, 2.0)
LINEAR_BIAS, LINEAR_NOISE, LINEAR_SAMPLES = 0.75, 0.1, 1000

# A room of 64 taps at 8 kHz whose response falls to a thousandth (-60 dB), with background noise 50
# dB below the echo; the last fifth of 10,000 samples is held out.
TAPS, ECHO_SAMPLES, NOISE_DB, ECHO_HELD = 64, 10_000, -50.0, 2_000
QUADRATIC_NOISE, QUADRATIC_TRAINED = 0.2, 12


def uniform(key: int, count: int) -> Floats:
    """f64[count] in [0, 1) from a fixed Philox stream: the same bits on every machine."""
    words = np.random.Philox(key=key).random_raw(count) >> np.uint64(11)
    return words.astype(np.float64) * 2.0**-53


def near_normal(key: int, count: int) -> Floats:
    """f64[count] of mean 0 and variance 1: sums of 12 uniforms less 6, exact on every machine."""
    sums: Floats = np.sum(uniform(key, 12 * count).reshape(count, 12), axis=1)
    return sums - 6.0


def split(name: str, arrays: dict[str, Floats], trained: int) -> Dataset:
    """The first `trained` samples to train on and the others held out, in f32."""
    rows = {field: array.astype(np.float32) for field, array in arrays.items()}
    return Dataset(name, {k: v[:trained] for k, v in rows.items()},
                   {k: v[trained:] for k, v in rows.items()}, source="bundled")


def load_linear(options: Options) -> Dataset:
    """A linear regression of known answer: x f32[n, 8] near normal, y f32[n, 1], noise 0.1."""
    values = near_normal(8, LINEAR_SAMPLES * (len(LINEAR_WEIGHTS) + 1))
    table = values.reshape(LINEAR_SAMPLES, -1)
    x, noise = table[:, 1:], table[:, 0] * LINEAR_NOISE
    y = np.sum(x * np.array(LINEAR_WEIGHTS), axis=1) + LINEAR_BIAS + noise
    return split("linear", {"x": x, "y": y[:, None]}, LINEAR_SAMPLES * 4 // 5)


def load_echo(options: Options) -> Dataset:
    """Loudspeaker and microphone in a room: x f32[n, 64], the last 64 samples played, newest first;
    y f32[n, 1], what the microphone hears: their echo, and background noise.

    The loudspeaker plays s[t] = 0.5 s[t-1] + white noise; the response is white noise of length 64
    under an envelope that falls by 60 dB.
    """
    white = near_normal(21, ECHO_SAMPLES + TAPS - 1)
    played = np.empty_like(white)
    before = 0.0
    for at, value in enumerate(white):
        before = played[at] = 0.5 * before + value
    response = near_normal(22, TAPS) * 10.0 ** (-3.0 * np.arange(TAPS) / TAPS)
    response /= np.sqrt(np.sum(response * response))
    windows = np.lib.stride_tricks.sliding_window_view(played, TAPS)[:, ::-1]
    echo = np.sum(windows * response, axis=1)
    noise = near_normal(23, ECHO_SAMPLES) * (echo.std() * 10.0 ** (NOISE_DB / 20.0))
    return split("echo", {"x": windows, "y": (echo + noise)[:, None]}, ECHO_SAMPLES - ECHO_HELD)


def load_quadratic(options: Options) -> Dataset:
    """A noisy parabola: x f32[n, 1] in -1 .. 1, y = x^2 - 0.5 x + noise of 0.2: 12 evenly spaced
    samples, and 200 random ones held out."""
    held = 2.0 * uniform(31, 200) - 1.0
    x = np.concatenate([np.linspace(-1, 1, QUADRATIC_TRAINED), held])[:, None]
    y = x * x - 0.5 * x + QUADRATIC_NOISE * near_normal(32, len(x))[:, None]
    return split("quadratic", {"x": x, "y": y}, QUADRATIC_TRAINED)


def load_wave(options: Options) -> Dataset:
    """A curve without noise: y = sin(2 pi x) + x / 2, x f32[n, 1] in 0 .. 1 (400 + 101 samples)."""
    x = np.concatenate([uniform(41, 400), np.arange(101) / 100.0])[:, None]
    return split("wave", {"x": x, "y": np.sin(2.0 * np.pi * x) + 0.5 * x}, 400)


def load_yard(options: Options) -> Dataset:
    """Where a truck starts: start f32[n, 4], x and y of the trailer's rear, angles of trailer and
    cab: 4 to 6 and within 2; within 1 radian, the cab's within .3 of the trailer's."""
    draw = uniform(51, 4 * 1200).reshape(1200, 4)
    x, y, trailer = 4.0 + 2.0 * draw[:, 0], 4.0 * draw[:, 1] - 2.0, 2.0 * draw[:, 2] - 1.0
    start = np.stack([x, y, trailer, trailer + 0.6 * draw[:, 3] - 0.3], axis=1)
    return split("yard", {"start": start}, 1000)


SIGNALS = {"linear": load_linear, "echo": load_echo, "quadratic": load_quadratic,
           "wave": load_wave, "yard": load_yard}
