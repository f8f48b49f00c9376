"""Prelude, f64: tanh, sigmoid, softplus, reciprocal square root.

Kernel text like exp_log_f64.py, whose functions it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def tanh_f64(x: f64) -> f64:
    """tanh |x| = E / (E + 2) with E = e**(2|x|) - 1; then x's sign."""
    bits = bitcast_i64(x)
    a = bitcast_f64(bits & i64(0x7FFFFFFFFFFFFFFF))
    e = expm1_f64(select(a > f64(20.0), f64(40.0), a + a))
    sign = bits & i64(-0x8000000000000000)
    return bitcast_f64(bitcast_i64(e / (e + f64(2.0))) | sign)


def sigmoid_f64(x: f64) -> f64:
    """1 / (1 + e**-x) through e**-|x|, which cannot overflow."""
    e = exp_f64(bitcast_f64(bitcast_i64(x) | i64(-0x8000000000000000)))
    return select(x < f64(0.0), e, f64(1.0)) / (f64(1.0) + e)


def softplus_f64(x: f64) -> f64:
    """ln(1 + e**x), as softplus_f32."""
    e = exp_f64(bitcast_f64(bitcast_i64(x) | i64(-0x8000000000000000)))
    return maximum(x, f64(0.0)) + log1p_f64(e)


def rsqrt_f64(x: f64) -> f64:
    """1 / sqrt(x) in two correctly rounded operations."""
    return f64(1.0) / sqrt(x)
