"""Counter-based random bits in NumPy: what `random_bits` means, bit for bit.

Threefry2x32 with 20 rounds: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC11. The kernel's text is in backend/cpu/prelude/random_bits.py; both agree on every bit.

Floats are compositions that stand in the graph (dlc/random/__init__.py, docs/design/math.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]

_PARITY = np.uint32(0x1BD11BDA)
_GOLDEN = np.uint32(0x9E3779B9)
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def threefry2x32(key: tuple[Any, Any], counter: tuple[Any, Any]) -> tuple[Words, Words]:
    """The Threefry2x32-20 block of `counter` under `key`: two u32 each, arrays that broadcast."""
    keys = [np.asarray(word, np.uint32) for word in key]
    keys.append(keys[0] ^ keys[1] ^ _PARITY)
    a, b = (np.asarray(word, np.uint32) for word in counter)
    with np.errstate(over="ignore"):  # wrapping is meant; NumPy warns for scalars only
        a, b = a + keys[0], b + keys[1]
        for group in range(5):
            for rotation in _ROTATIONS[group % 2]:
                a = a + b
                b = ((b << np.uint32(rotation)) | (b >> np.uint32(32 - rotation))) ^ a
            a = a + keys[(group + 1) % 3]
            b = b + keys[(group + 2) % 3] + np.uint32(group + 1)
    return a, b


def random_bits(seed: int, step: int, site: int, index: npt.NDArray[np.int64]) -> Words:
    """u32 random bits of the elements `index` (i64, any shape) at one call site and step.

    The first word of the block of (index, step) under the key (seed, site); seed, step and site
    count modulo 2**32, the high half of an index is spread over the step's word.
    """
    low, high = (index & 0xFFFFFFFF).astype(np.uint32), (index >> 32) & 0xFFFFFFFF
    with np.errstate(over="ignore"):
        word = np.uint32(step & 0xFFFFFFFF) + high.astype(np.uint32) * _GOLDEN
    return threefry2x32((seed & 0xFFFFFFFF, site & 0xFFFFFFFF), (low, word))[0]
