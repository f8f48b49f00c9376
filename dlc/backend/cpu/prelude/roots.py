"""Prelude: cube root, hypotenuse, decimal logarithm, log of a sum of exponentials.

Kernel text like exp_log_f64.py, whose functions it calls; f32 is rounded from f64.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def log10_f64(x: f64) -> f64:
    """log10 x from log2 x in two parts; exact at powers of ten."""
    high, low = log2_parts_f64(x)
    p = high * f64(0.3010299956639812)
    rest = fma(high, f64(0.3010299956639812), -p)
    rest = fma(low, f64(0.3010299956639812), fma(high, f64(-2.8037281277851704e-18), rest))
    return log_edges_f64(x, p + rest)


def log10_f32(x: f32) -> f32:
    """log10 x; exact at powers of ten."""
    return f32(log_f64(f64(x)) * f64(0.4342944819032518))


def cbrt_f64(x: f64) -> f64:
    """The cube root: a third of the exponent, then three steps of Halley's iteration.

    The last works on a value of 26 bits, whose square is exact.
    """
    a = abs(x)
    tiny = a < f64(2.2250738585072014e-308)
    b = select(tiny, a * f64(18014398509481984.0), a)
    high = u32(bitcast_i64(b) >> 32)
    y = bitcast_f64(i64(u32(idiv(high, u32(3)) + u32(715094163))) << 32)
    q = y * y * y
    y = y * ((q + b + b) / (q + q + b))
    q = y * y * y
    y = y * ((q + b + b) / (q + q + b))
    y = bitcast_f64((bitcast_i64(y) + i64(0x4000000)) & i64(-0x8000000))
    r = b / (y * y)
    y = y + y * ((r - y) / (y + y + r))
    y = y * select(tiny, f64(3.814697265625e-06), f64(1.0))
    ordinary = (a > f64(0.0)) & (a < bitcast_f64(i64(0x7FF0000000000000)))
    return select(ordinary, copysign(y, x), x)


def hypot_f64(x: f64, y: f64) -> f64:
    """sqrt(x**2 + y**2) of operands scaled by a power of two; infinite if one is."""
    infinity = bitcast_f64(i64(0x7FF0000000000000))
    a, b = abs(x), abs(y)
    large = select(a > b, a, b)
    big, small = large > f64(1e150), large < f64(1e-140)
    scale = select(big, f64(2.409919865102884e-181), f64(1.0))
    scale = select(small, f64(4.149515568880993e+180), scale)
    back = select(big, f64(4.149515568880993e+180), f64(1.0))
    back = select(small, f64(2.409919865102884e-181), back)
    u, v = a * scale, b * scale
    h = v * v
    z = fma(u, u, h) + fma(v, v, -h)
    return select((a == infinity) | (b == infinity), infinity, sqrt(z) * back)


def hypot_f32(x: f32, y: f32) -> f32:
    """sqrt(x**2 + y**2); infinite if one is."""
    infinity = bitcast_f32(i32(0x7F800000))
    a, b = f64(x), f64(y)
    z = f32(sqrt(fma(a, a, b * b)))
    return select((abs(x) == infinity) | (abs(y) == infinity), infinity, z)


def logaddexp_f64(x: f64, y: f64) -> f64:
    """ln(e**x + e**y): the larger and log1p(e**-|x - y|)."""
    d = select(x == y, f64(0.0), abs(x - y))
    return maximum(x, y) + log1p_f64(exp_f64(-d))


def logaddexp_f32(x: f32, y: f32) -> f32:
    """ln(e**x + e**y), rounded from f64: also right where the sum is near 1."""
    return f32(logaddexp_f64(f64(x), f64(y)))


def cbrt_f32(x: f32) -> f32:
    """The cube root."""
    return f32(cbrt_f64(f64(x)))
