"""Two launches that needed each other: compiling never ended.

A group that ended before `F` began was taken not to depend on `F`. It may: through a group whose
earlier member it reads and whose later member reads `F`, as `total` does through (p, q).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import dlc
from dlc import f32


def test_a_path_through_a_group_that_begins_earlier() -> None:
    def f(x: f32[32, 32], w: f32[32, 32], z: f32[32, 80], u: f32[80, 32]) -> Any:
        p = dlc.exp(x)
        total = (p @ w).sum(1)
        F = z @ u
        q = p / F[::-1]
        c = total[:, None] * F
        return total, q, c

    rng = np.random.default_rng(0)
    arrays = [rng.uniform(1, 2, s).astype(np.float32)
              for s in ((32, 32), (32, 32), (32, 80), (80, 32))]
    with dlc.compile(f).load() as run:
        now = run(*arrays)
    for name, value in dlc.evaluate(f, *arrays).items():
        np.testing.assert_allclose(now[name], value, rtol=1e-4)
