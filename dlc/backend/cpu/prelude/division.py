"""Prelude: floor division, remainder and sign of floats, with NumPy's rules.

Kernel text like exp_log_f32.py. The remainder of a by b is exact: each step takes trunc(m / b) b
off m by one fma, which is exact, and leaves at most 2**-52 of it.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def modulus_f64(a: f64, b: f64) -> f64:
    """The exact remainder of a by b with a's sign, or zero, where |a / b| < 2**300; else NaN."""
    m = fma(trunc(a / b), -b, a)
    m = fma(trunc(m / b), -b, m)
    m = fma(trunc(m / b), -b, m)
    m = fma(trunc(m / b), -b, m)
    m = fma(trunc(m / b), -b, m)
    m = fma(trunc(m / b), -b, m)
    size = abs(b)
    passed = (m != f64(0.0)) & ((m < f64(0.0)) != (a < f64(0.0)))
    m = m + select(passed, copysign(size, a), f64(0.0))
    m = select(abs(m) < size, m, bitcast_f64(i64(0x7FF8000000000000)))
    infinity = bitcast_f64(i64(0x7FF0000000000000))
    return select((size == infinity) & (abs(a) < infinity), a, m)


def rem_f64(a: f64, b: f64) -> f64:
    """a - b floor(a / b), with the sign of b also where it is zero; NaN where |a / b| >= 2**300."""
    m = modulus_f64(a, b)
    opposite = (m != f64(0.0)) & ((m < f64(0.0)) != (b < f64(0.0)))
    m = m + select(opposite, b, f64(0.0))
    return select(m == f64(0.0), copysign(f64(0.0), b), m)


def rem_f32(a: f32, b: f32) -> f32:
    """a - b floor(a / b), with the sign of b also where it is zero."""
    m = f32(modulus_f64(f64(a), f64(b)))
    opposite = (m != f32(0.0)) & ((m < f32(0.0)) != (b < f32(0.0)))
    m = m + select(opposite, b, f32(0.0))
    return select(m == f32(0.0), copysign(f32(0.0), b), m)


def floordiv_f64(a: f64, b: f64) -> f64:
    """floor(a / b), from the exact remainder; a / b where b is zero."""
    m = modulus_f64(a, b)
    opposite = (m != f64(0.0)) & ((m < f64(0.0)) != (b < f64(0.0)))
    quotient = (a - m) / b - select(opposite, f64(1.0), f64(0.0))
    whole = floor(quotient)
    whole = whole + select(quotient - whole > f64(0.5), f64(1.0), f64(0.0))
    whole = select(quotient == f64(0.0), copysign(f64(0.0), a / b), whole)
    return select(b == f64(0.0), a / b, whole)


def floordiv_f32(a: f32, b: f32) -> f32:
    """floor(a / b), from the exact remainder; a / b where b is zero."""
    m = f32(modulus_f64(f64(a), f64(b)))
    opposite = (m != f32(0.0)) & ((m < f32(0.0)) != (b < f32(0.0)))
    quotient = (a - m) / b - select(opposite, f32(1.0), f32(0.0))
    whole = floor(quotient)
    whole = whole + select(quotient - whole > f32(0.5), f32(1.0), f32(0.0))
    whole = select(quotient == f32(0.0), copysign(f32(0.0), a / b), whole)
    return select(b == f32(0.0), a / b, whole)


def sign_f32(x: f32) -> f32:
    """-1, 0 or 1; NaN stays."""
    y = select(x > f32(0.0), f32(1.0), f32(-1.0))
    y = select(x == f32(0.0), f32(0.0), y)
    return select(x == x, y, x)


def sign_f64(x: f64) -> f64:
    """-1, 0 or 1; NaN stays."""
    y = select(x > f64(0.0), f64(1.0), f64(-1.0))
    y = select(x == f64(0.0), f64(0.0), y)
    return select(x == x, y, x)
