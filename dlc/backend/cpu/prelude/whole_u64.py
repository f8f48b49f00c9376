"""Prelude: what counts, powers and conversion of u64 have of their own; the rest is widths.py's.

Kernel text like exp_log_f32.py.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def popcount_u64(x: u64) -> u64:
    """How many bits are set."""
    return u64(u32(popcount_u32(u32(x)) + popcount_u32(u32(x >> u64(32)))))


def clz_u64(x: u64) -> u64:
    """How many bits above the highest that is set."""
    high = u32(x >> u64(32))
    low = u64(clz_u32(u32(x))) + u64(32)
    return select(high == u32(0), low, u64(clz_u32(high)))


def pow_u64(a: u64, n: u64) -> u64:
    """a**n modulo 2**64: the bits of i64's, whose exponent is shifted as unsigned."""
    low = i64(n & u64(4294967295))
    high = i64(n >> u64(32))
    y, b, _ = power_half_i64(i64(1), i64(a), low)
    y, _, _ = power_half_i64(y, b, high)
    return u64(y)


def odd_u64(x: u64) -> f32:
    """x as f32, rounded to odd: from 2**53 on the lowest eleven bits become one."""
    high = x & u64(i64(-2048))
    sticky = select(high != x, u64(2048), u64(0))
    large = (x >> u64(53)) != u64(0)
    return odd_f64(f64(select(large, high | sticky, x)))
