"""Prelude, f32: exponentials and logarithms by range reduction and a minimax polynomial.

Kernel text, not a module to import: `fma`, `select`, `rint`, the casts and bit casts come from the
primitives. Every function is straight-line code, so a loop that calls it vectorizes. Adding
1.5 * 2**23 to a float rounds it to an integer n that then stands in the low bits of its pattern;
shifting those bits left by 23 makes the exponent field of 2**n. Methods: docs/design/math.md.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def exp_f32(x: f32) -> f32:
    """e**x: x = n ln2 + r, 2**n times a polynomial; scaled twice so that denormals round once."""
    x = select(x < f32(-104.0), f32(-104.0), x)
    x = select(x > f32(89.0), f32(89.0), x)
    t = fma(x, f32(1.442695), f32(12582912.0))
    n = t - f32(12582912.0)
    r = fma(n, f32(-0.69314575), x)
    r = fma(n, f32(-1.4286068e-06), r)
    p = fma(f32(0.0013864067), r, f32(0.008367604))
    p = fma(p, r, f32(0.041667238))
    p = fma(p, r, f32(0.16666533))
    p = fma(p, r, f32(0.5))
    p = fma(r * r, p, r) + f32(1.0)
    bits = bitcast_i32(t)
    half = i32(bits >> 1)
    low = bitcast_f32(i32(i32(half << 23) + i32(0x3F800000)))
    high = bitcast_f32(i32(i32(i32(bits - half) << 23) + i32(0x3F800000)))
    return p * low * high


def exp2_f32(x: f32) -> f32:
    """2**x: x = n + r exactly; scaled twice like exp_f32."""
    x = select(x < f32(-151.0), f32(-151.0), x)
    x = select(x > f32(129.0), f32(129.0), x)
    t = x + f32(12582912.0)
    r = x - (t - f32(12582912.0))
    p = fma(f32(0.00015355591), r, f32(0.0013389458))
    p = fma(p, r, f32(0.009618375))
    p = fma(p, r, f32(0.05550364))
    p = fma(p, r, f32(0.24022649))
    p = fma(p, r, f32(0.6931472))
    p = fma(p, r, f32(1.0))
    bits = bitcast_i32(t)
    half = i32(bits >> 1)
    low = bitcast_f32(i32(i32(half << 23) + i32(0x3F800000)))
    high = bitcast_f32(i32(i32(i32(bits - half) << 23) + i32(0x3F800000)))
    return p * low * high


def expm1_f32(x: f32) -> f32:
    """e**x - 1 as (2**a q + (2**a - 2**-b)) 2**b, with q = e**r - 1 and a + b = n."""
    y = select(x < f32(-20.0), f32(-20.0), x)
    y = select(y > f32(89.5), f32(89.5), y)
    t = fma(y, f32(1.442695), f32(12582912.0))
    n = t - f32(12582912.0)
    r = fma(n, f32(-0.69314575), y)
    r = fma(n, f32(-1.4286068e-06), r)
    p = fma(f32(0.0013898136), r, f32(0.008365846))
    p = fma(p, r, f32(0.041666854))
    p = fma(p, r, f32(0.16666551))
    p = fma(p, r, f32(0.5))
    q = fma(r * r, p, r)
    bits = bitcast_i32(t)
    half = i32(bits >> 1)
    low = bitcast_f32(i32(i32(half << 23) + i32(0x3F800000)))
    high_bits = i32(i32(i32(bits - half) << 23) + i32(0x3F800000))
    inverse = bitcast_f32(i32(i32(0x7F000000) - high_bits))
    return select(x == f32(0.0), x, fma(q, low, low - inverse) * bitcast_f32(high_bits))


def log_f32(x: f32) -> f32:
    """ln x: x = 2**e (1 + f) with 1 + f in [2/3, 4/3], and a polynomial in f."""
    tiny = x < f32(1.1754944e-38)
    bits = bitcast_i32(select(tiny, x * f32(8388608.0), x))
    exponent = i32(i32(bits - i32(0x3F2AAAAB)) & i32(-8388608))
    f = bitcast_f32(i32(bits - exponent)) - f32(1.0)
    e = fma(f32(exponent), f32(1.1920929e-07), select(tiny, f32(-23.0), f32(0.0)))
    p = fma(f32(-0.12896195), f, f32(0.139633))
    p = fma(p, f, f32(-0.1218349))
    p = fma(p, f, f32(0.1401077))
    p = fma(p, f, f32(-0.16680507))
    p = fma(p, f, f32(0.20010048))
    p = fma(p, f, f32(-0.24999799))
    p = fma(p, f, f32(0.33333224))
    p = fma(p, f, f32(-0.5))
    y = fma(e, f32(0.6931472), fma(f * f, p, f))
    y = select(x < bitcast_f32(i32(0x7F800000)), y, x)
    below = select(x == f32(0.0), bitcast_f32(i32(-8388608)), bitcast_f32(i32(0x7FC00000)))
    return select(x > f32(0.0), y, below)


def log2_f32(x: f32) -> f32:
    """log2 x, exact at powers of two; the method of log_f32."""
    tiny = x < f32(1.1754944e-38)
    bits = bitcast_i32(select(tiny, x * f32(8388608.0), x))
    exponent = i32(i32(bits - i32(0x3F2AAAAB)) & i32(-8388608))
    f = bitcast_f32(i32(bits - exponent)) - f32(1.0)
    e = fma(f32(exponent), f32(1.1920929e-07), select(tiny, f32(-23.0), f32(0.0)))
    p = fma(f32(-0.1747861), f, f32(0.199689))
    p = fma(p, f, f32(-0.17902005))
    p = fma(p, f, f32(0.20249805))
    p = fma(p, f, f32(-0.24032691))
    p = fma(p, f, f32(0.28866193))
    p = fma(p, f, f32(-0.3606831))
    p = fma(p, f, f32(0.4808971))
    p = fma(p, f, f32(-0.7213474))
    p = fma(p, f, f32(1.925963e-08))
    y = e + fma(f, f32(1.442695), f * p)
    y = select(x < bitcast_f32(i32(0x7F800000)), y, x)
    below = select(x == f32(0.0), bitcast_f32(i32(-8388608)), bitcast_f32(i32(0x7FC00000)))
    return select(x > f32(0.0), y, below)


def log1p_f32(x: f32) -> f32:
    """ln(1 + x): the exponent e comes from 1 + x, then f = 2**-e x + (2**-e - 1), rounded once."""
    bits = bitcast_i32(x + f32(1.0))
    exponent = i32(i32(bits - i32(0x3F2AAAAB)) & i32(-8388608))
    scale = bitcast_f32(i32(i32(0x40800000) - exponent)) * f32(0.25)
    f = fma(x, scale, scale - f32(1.0))
    p = fma(f32(-0.12896195), f, f32(0.139633))
    p = fma(p, f, f32(-0.1218349))
    p = fma(p, f, f32(0.1401077))
    p = fma(p, f, f32(-0.16680507))
    p = fma(p, f, f32(0.20010048))
    p = fma(p, f, f32(-0.24999799))
    p = fma(p, f, f32(0.33333224))
    p = fma(p, f, f32(-0.5))
    e = f32(exponent) * f32(1.1920929e-07)
    y = fma(e, f32(0.6931472), fma(f * f, p, f))
    y = select((x < bitcast_f32(i32(0x7F800000))) & (x != f32(0.0)), y, x)
    below = select(x == f32(-1.0), bitcast_f32(i32(-8388608)), bitcast_f32(i32(0x7FC00000)))
    return select(x > f32(-1.0), y, below)
