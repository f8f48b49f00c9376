"""Prelude: counter-based random bits, Threefry2x32 with 20 rounds.

Kernel text like exp_log_f32.py. Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy
as 1, 2, 3", SC11. Unsigned 32-bit arithmetic wraps.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def rotate_u32(x: u32, n: i64) -> u32:
    """x with its bits rotated n places to the left."""
    return u32(u32(x << n) | u32(x >> (32 - n)))


def threefry_rounds(a: u32, b: u32, r0: i64, r1: i64, r2: i64, r3: i64) -> tuple[u32, u32]:
    """Four rounds of Threefry2x32: add, rotate, exclusive or."""
    a = u32(a + b)
    b = u32(rotate_u32(b, r0) ^ a)
    a = u32(a + b)
    b = u32(rotate_u32(b, r1) ^ a)
    a = u32(a + b)
    b = u32(rotate_u32(b, r2) ^ a)
    a = u32(a + b)
    return a, u32(rotate_u32(b, r3) ^ a)


def threefry2x32(key0: u32, key1: u32, counter0: u32, counter1: u32) -> tuple[u32, u32]:
    """The Threefry2x32-20 block of a counter under a key."""
    key2 = u32(u32(key0 ^ key1) ^ u32(0x1BD11BDA))
    a, b = u32(counter0 + key0), u32(counter1 + key1)
    a, b = threefry_rounds(a, b, 13, 15, 26, 6)
    a, b = u32(a + key1), u32(b + u32(key2 + u32(1)))
    a, b = threefry_rounds(a, b, 17, 29, 16, 24)
    a, b = u32(a + key2), u32(b + u32(key0 + u32(2)))
    a, b = threefry_rounds(a, b, 13, 15, 26, 6)
    a, b = u32(a + key0), u32(b + u32(key1 + u32(3)))
    a, b = threefry_rounds(a, b, 17, 29, 16, 24)
    a, b = u32(a + key1), u32(b + u32(key2 + u32(4)))
    a, b = threefry_rounds(a, b, 13, 15, 26, 6)
    return u32(a + key2), u32(b + u32(key0 + u32(5)))


def random_bits(seed: u32, step: i32, site: u32, index: i64) -> u32:
    """32 random bits: the first word of the block of (index, step) under the key (seed, site).

    The high half of an index past 2**32 is spread over the step's word.
    """
    high = u32(u32(index >> 32) * u32(0x9E3779B9))
    a, _ = threefry2x32(u32(seed), u32(site), u32(index), u32(u32(step) + high))
    return a
