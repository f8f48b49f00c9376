"""Prelude, f32: tanh, sigmoid, softplus, reciprocal square root.

Kernel text like exp_log_f32.py, whose functions it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def tanh_f32(x: f32) -> f32:
    """x + x**3 p(x**2) below 1/2; from there E / (E + 2), E = e**(2|x|) - 1, with x's sign."""
    bits = bitcast_i32(x)
    a = bitcast_f32(i32(bits & i32(0x7FFFFFFF)))
    y = select(a > f32(9.5), f32(9.5), a)
    y = y + y
    t = fma(y, f32(1.442695), f32(12582912.0))
    n = t - f32(12582912.0)
    r = fma(n, f32(-0.69314575), y)
    r = fma(n, f32(-1.4286068e-06), r)
    p = fma(f32(0.0013898136), r, f32(0.008365846))
    p = fma(p, r, f32(0.041666854))
    p = fma(p, r, f32(0.16666551))
    p = fma(p, r, f32(0.5))
    q = fma(r * r, p, r)
    scale = bitcast_f32(i32(i32(bitcast_i32(t) << 23) + i32(0x3F800000)))
    e = fma(q, scale, scale - f32(1.0))
    z = a * a
    p = fma(f32(0.017239774), z, f32(-0.053044774))
    p = fma(p, z, f32(0.1332587))
    p = fma(p, z, f32(-0.33333144))
    y = select(a < f32(0.5), fma(a * z, p, a), e / (e + f32(2.0)))
    return bitcast_f32(i32(bitcast_i32(y) | i32(bits & i32(-2147483648))))


def sigmoid_f32(x: f32) -> f32:
    """1 / (1 + e**-x) through e**-|x|, which cannot overflow.

    One Newton step of the division also takes in what the sum 1 + e lost.
    """
    e = exp_f32(bitcast_f32(i32(bitcast_i32(x) | i32(-2147483648))))
    top = select(x < f32(0.0), e, f32(1.0))
    below = f32(1.0) + e
    lost = e - (below - f32(1.0))
    inverse = f32(1.0) / below
    y = top * inverse
    return fma(fma(-y, below, top) - y * lost, inverse, y)


def softplus_f32(x: f32) -> f32:
    """ln(1 + e**x), of two terms that are not negative: nothing cancels. The exponential is
    written as sigmoid's is: of the same x, it is taken once."""
    e = exp_f32(bitcast_f32(i32(bitcast_i32(x) | i32(-2147483648))))
    return maximum(x, f32(0.0)) + log1p_f32(e)


def rsqrt_f32(x: f32) -> f32:
    """1 / sqrt(x) in two correctly rounded operations."""
    return f32(1.0) / sqrt(x)
