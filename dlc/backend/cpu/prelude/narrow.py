"""Prelude: f64 and integers to f32 by rounding to odd, on the way to f16 and bf16.

Kernel text like exp_log_f32.py. What is not exact gets a last bit of 1, so that the second rounding
sees on which side of a tie it lies: together they round once (Boldo and Melquiond, IEEE
Transactions on Computers 57(4), 2008).
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def odd_f64(x: f64) -> f32:
    """x as f32: towards zero, and the last bit set where that is not exact."""
    y = f32(x)
    bits = bitcast_i32(y)
    down = i32(bits - select(abs(f64(y)) > abs(x), i32(1), i32(0)))
    return bitcast_f32(i32(down | select(f64(y) != x, i32(1), i32(0))))


def odd_i32(x: i32) -> f32:
    """x as f32, rounded to odd."""
    return odd_f64(f64(x))


def odd_u32(x: u32) -> f32:
    """x as f32, rounded to odd."""
    return odd_f64(f64(x))


def odd_i64(x: i64) -> f32:
    """x as f32, rounded to odd: from 2**52 on the lowest eleven bits become one."""
    high = x & i64(-2048)
    sticky = select(high != x, i64(2048), i64(0))
    large = (x >> 52) != (x >> 63)
    return odd_f64(f64(select(large, high | sticky, x)))
