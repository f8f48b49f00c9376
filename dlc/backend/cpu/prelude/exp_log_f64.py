"""Prelude, f64: exponentials and logarithms; the methods of exp_log_f32.py in 52 bits.

Kernel text. Adding 1.5 * 2**52 rounds to an integer; shifting by 52 makes it an exponent field.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def exp_series_f64(r: f64) -> f64:
    """(e**r - 1 - r) / r**2 for |r| <= ln2 / 2."""
    p = fma(f64(2.0923018033248372e-09), r, f64(2.5107738741086686e-08))
    p = fma(p, r, f64(2.7557248220261703e-07))
    p = fma(p, r, f64(2.7557248242667324e-06))
    p = fma(p, r, f64(2.4801587352714556e-05))
    p = fma(p, r, f64(0.00019841269881725102))
    p = fma(p, r, f64(0.0013888888888871993))
    p = fma(p, r, f64(0.008333333333323582))
    p = fma(p, r, f64(0.041666666666666685))
    p = fma(p, r, f64(0.16666666666666674))
    return fma(p, r, f64(0.5))


def scale_f64(x: f64, t: f64) -> f64:
    """x * 2**n for t = 1.5 * 2**52 + n, in two factors so that denormals round once."""
    bits = bitcast_i64(t)
    half = bits >> 1
    low = bitcast_f64((half << 52) + i64(0x3FF0000000000000))
    return x * low * bitcast_f64(((bits - half) << 52) + i64(0x3FF0000000000000))


def exp_f64(x: f64) -> f64:
    """e**x: x = n ln2 + r, 2**n times a polynomial."""
    x = select(x < f64(-746.0), f64(-746.0), x)
    x = select(x > f64(710.0), f64(710.0), x)
    t = fma(x, f64(1.4426950408889634), f64(6755399441055744.0))
    n = t - f64(6755399441055744.0)
    r = fma(n, f64(-0.6931471805599453), x)
    r = fma(n, f64(-2.3190468138462996e-17), r)
    return scale_f64(fma(r * r, exp_series_f64(r), r) + f64(1.0), t)


def exp2_sum_f64(x: f64, rest: f64) -> f64:
    """2**(x + rest), rest small: x = n + r exactly, e**((r + rest) ln2) with ln2 in two parts."""
    x = select(x < f64(-1077.0), f64(-1077.0), x)
    x = select(x > f64(1025.0), f64(1025.0), x)
    t = x + f64(6755399441055744.0)
    r = x - (t - f64(6755399441055744.0))
    high = r * f64(0.6931471805599453)
    low = fma(r, f64(0.6931471805599453), -high)
    low = fma(rest, f64(0.6931471805599453), fma(r, f64(2.3190468138462996e-17), low))
    p = high * high * exp_series_f64(high)
    p = fma(low, (p + high) + f64(1.0), p)
    return scale_f64((p + high) + f64(1.0), t)


def exp2_f64(x: f64) -> f64:
    """2**x."""
    return exp2_sum_f64(x, f64(0.0))


def expm1_f64(x: f64) -> f64:
    """e**x - 1 as (2**a q + (2**a - 2**-b)) 2**b, with q = e**r - 1 and a + b = n."""
    y = select(x < f64(-40.0), f64(-40.0), x)
    y = select(y > f64(711.0), f64(711.0), y)
    t = fma(y, f64(1.4426950408889634), f64(6755399441055744.0))
    n = t - f64(6755399441055744.0)
    r = fma(n, f64(-0.6931471805599453), y)
    r = fma(n, f64(-2.3190468138462996e-17), r)
    q = fma(r * r, exp_series_f64(r), r)
    bits = bitcast_i64(t)
    half = bits >> 1
    low = bitcast_f64((half << 52) + i64(0x3FF0000000000000))
    high_bits = ((bits - half) << 52) + i64(0x3FF0000000000000)
    inverse = bitcast_f64(i64(0x7FE0000000000000) - high_bits)
    return select(x == f64(0.0), x, fma(q, low, low - inverse) * bitcast_f64(high_bits))


def artanh_series_f64(z: f64) -> f64:
    """2 artanh(s) / s - 2 for z = s**2 below 0.03."""
    p = fma(f64(0.14789508431324913), z, f64(0.15314759393246574))
    p = fma(p, z, f64(0.18183533490614184))
    p = fma(p, z, f64(0.22222199243566423))
    p = fma(p, z, f64(0.2857142873483969))
    p = fma(p, z, f64(0.3999999999945531))
    return z * fma(p, z, f64(0.6666666666666726))


def log1p_series_f64(f: f64) -> f64:
    """ln(1 + f) - f + f**2 / 2 for 1 + f in [sqrt(1/2), sqrt(2)], through artanh(f / (2 + f))."""
    s = f / (f + f64(2.0))
    return s * fma(f64(0.5) * f, f, artanh_series_f64(s * s))


def split_f64(x: f64) -> tuple[f64, f64]:
    """(e, f) with x = 2**e (1 + f), 1 + f in [sqrt(1/2), sqrt(2)], for positive finite x."""
    tiny = x < f64(2.2250738585072014e-308)
    bits = bitcast_i64(select(tiny, x * f64(4503599627370496.0), x))
    exponent = (bits - i64(0x3FE6A09E667F3BCD)) & i64(-4503599627370496)
    f = bitcast_f64(bits - exponent) - f64(1.0)
    return f64(exponent >> 52) - select(tiny, f64(52.0), f64(0.0)), f


def log_edges_f64(x: f64, y: f64) -> f64:
    """y, the logarithm of x, replaced where x is zero, negative, infinite or NaN."""
    y = select(x < bitcast_f64(i64(0x7FF0000000000000)), y, x)
    nan = bitcast_f64(i64(0x7FF8000000000000))
    below = select(x == f64(0.0), bitcast_f64(i64(-4503599627370496)), nan)
    return select(x > f64(0.0), y, below)


def log_f64(x: f64) -> f64:
    """ln x: x = 2**e (1 + f), an odd series in f / (2 + f)."""
    e, f = split_f64(x)
    half = f64(0.5) * f * f
    tail = fma(e, f64(7.440617110012397e-11), log1p_series_f64(f))
    return log_edges_f64(x, fma(e, f64(0.6931471804855391), f - (half - tail)))


def log2_parts_f64(x: f64) -> tuple[f64, f64]:
    """log2 x as an unevaluated sum of two f64, for positive finite x.

    ln(1 + f) = 2 artanh(s + lost), where s is f / (2 + f) rounded and lost what rounding took.
    """
    e, f = split_f64(x)
    d = f + f64(2.0)
    inverse = f64(1.0) / d
    s = f * inverse
    lost = (fma(-s, d, f) - s * (f - (d - f64(2.0)))) * inverse
    high = s + s
    low = fma(s, artanh_series_f64(s * s), lost + lost)
    p = high * f64(1.4426950408889634)
    tail = fma(high, f64(1.4426950408889634), -p)
    tail = tail + fma(low, f64(1.4426950408889634), high * f64(2.0355273740931033e-17))
    y = e + p
    rest = (p - (y - e)) + tail
    total = y + rest
    return total, rest - (total - y)


def log2_f64(x: f64) -> f64:
    """log2 x, exact at powers of two."""
    high, _ = log2_parts_f64(x)
    return log_edges_f64(x, high)


def log1p_f64(x: f64) -> f64:
    """ln(1 + x): the exponent e comes from 1 + x, then f = 2**-e x + (2**-e - 1), rounded once."""
    bits = bitcast_i64(x + f64(1.0))
    exponent = (bits - i64(0x3FE6A09E667F3BCD)) & i64(-4503599627370496)
    scale = bitcast_f64(i64(0x4010000000000000) - exponent) * f64(0.25)
    f = fma(x, scale, scale - f64(1.0))
    e = f64(exponent >> 52)
    half = f64(0.5) * f * f
    tail = fma(e, f64(7.440617110012397e-11), log1p_series_f64(f))
    y = fma(e, f64(0.6931471804855391), f - (half - tail))
    y = select((x < bitcast_f64(i64(0x7FF0000000000000))) & (x != f64(0.0)), y, x)
    nan = bitcast_f64(i64(0x7FF8000000000000))
    below = select(x == f64(-1.0), bitcast_f64(i64(-4503599627370496)), nan)
    return select(x > f64(-1.0), y, below)
