"""Prelude, f32: error function, power.

Kernel text like exp_log_f32.py, whose functions it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def erf_f32(x: f32) -> f32:
    """erf x: x + x p(x**2) below 0.9, else 1 - e**-q(|x|) with a polynomial for -ln erfc."""
    bits = bitcast_i32(x)
    a = bitcast_f32(i32(bits & i32(0x7FFFFFFF)))
    z = a * a
    p = fma(f32(-0.0006032216), z, f32(0.005000223))
    p = fma(p, z, f32(-0.02677082))
    p = fma(p, z, f32(0.112819225))
    p = fma(p, z, f32(-0.37612504))
    p = fma(p, z, f32(0.12837915))
    b = select(a > f32(3.95), f32(3.95), a)
    q = fma(f32(-0.00019821746), b, f32(0.0030654806))
    q = fma(q, b, f32(-0.022315204))
    q = fma(q, b, f32(0.10411369))
    q = fma(q, b, f32(0.63697606))
    q = fma(q, b, f32(1.1277972))
    q = fma(q, b, f32(0.00016645092))
    y = select(a < f32(0.9), fma(a, p, a), f32(1.0) - exp_f32(-q))
    return bitcast_f32(i32(bitcast_i32(y) | i32(bits & i32(-2147483648))))


def power_f64(a: f64, y: f64) -> f64:
    """a ** y for f32 operands: 2 ** (y log2 a) in f64, to about 2**-31.

    a = 2**e (1 + f) with log2(1 + f) an odd series in f / (2 + f); a is not negative.
    """
    bits = bitcast_i64(a)
    exponent = (bits - i64(0x3FE6A09E667F3BCD)) & i64(-4503599627370496)
    f = bitcast_f64(bits - exponent) - f64(1.0)
    s = f / (f + f64(2.0))
    z = s * s
    p = fma(f64(0.34074894202230255), z, f64(0.41167174840488185))
    p = fma(p, z, f64(0.5770836002767836))
    p = fma(p, z, f64(0.9617966732666181))
    p = fma(p, z, f64(2.8853900817901414))
    infinity = bitcast_f64(i64(0x7FF0000000000000))
    logarithm = select(a < infinity, fma(s, p, f64(exponent >> 52)), a)
    x = y * select(a == f64(0.0), -infinity, logarithm)
    x = select(x < f64(-200.0), f64(-200.0), x)
    x = select(x > f64(200.0), f64(200.0), x)
    t = x + f64(6755399441055744.0)
    r = x - (t - f64(6755399441055744.0))
    q = fma(f64(1.3344308345261412e-06), r, f64(1.5314235551754194e-05))
    q = fma(q, r, f64(0.00015403097580708443))
    q = fma(q, r, f64(0.001333343405082915))
    q = fma(q, r, f64(0.009618129559901885))
    q = fma(q, r, f64(0.055504109593493126))
    q = fma(q, r, f64(0.2402265069473867))
    q = fma(q, r, f64(0.6931471805412001))
    return fma(q, r, f64(1.0)) * bitcast_f64((bitcast_i64(t) << 52) + i64(0x3FF0000000000000))


def pow_f32(x: f32, y: f32) -> f32:
    """x ** y with C's special cases (Annex F); |x| ** y comes from f64."""
    a = bitcast_f32(i32(bitcast_i32(x) & i32(0x7FFFFFFF)))
    z = f32(power_f64(f64(a), f64(y)))
    z = select(a == f32(1.0), f32(1.0), z)
    half = y * f32(0.5)
    odd = (rint(half) != half) & (rint(y) == y)
    sign = select(odd, i32(bitcast_i32(x) & i32(-2147483648)), i32(0))
    z = bitcast_f32(i32(bitcast_i32(z) | sign))
    negative = (x < f32(0.0)) & (a < bitcast_f32(i32(0x7F800000)))
    z = select(negative & (rint(y) != y), bitcast_f32(i32(0x7FC00000)), z)
    return select((y == f32(0.0)) | (x == f32(1.0)), f32(1.0), z)
