"""Prelude: inverse circular functions; f32 is rounded from f64.

Kernel text like exp_log_f64.py.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def asin_series_f64(z: f64) -> f64:
    """(asin(x) / x - 1) / z for z = x**2 <= 1/4."""
    p = fma(f64(0.02961201146681806), z, f64(-0.019241672086563726))
    p = fma(p, z, f64(0.01955451359032356))
    p = fma(p, z, f64(0.0030448797981176856))
    p = fma(p, z, f64(0.009319560826437338))
    p = fma(p, z, f64(0.00962184296396691))
    p = fma(p, z, f64(0.011566459612946143))
    p = fma(p, z, f64(0.013963780012126588))
    p = fma(p, z, f64(0.017352816540330412))
    p = fma(p, z, f64(0.022372157443507016))
    p = fma(p, z, f64(0.030381944475532347))
    p = fma(p, z, f64(0.044642857142551895))
    p = fma(p, z, f64(0.07500000000000118))
    return fma(p, z, f64(0.16666666666666666))


def atan_series_f64(z: f64) -> f64:
    """(atan(x) / x - 1) / z for z = x**2 <= tan(pi/8)**2."""
    p = fma(f64(0.016283572269789107), z, f64(-0.03456859058292932))
    p = fma(p, z, f64(0.0455151655990825))
    p = fma(p, z, f64(-0.052304374633495514))
    p = fma(p, z, f64(0.05878926715617913))
    p = fma(p, z, f64(-0.06666424687232571))
    p = fma(p, z, f64(0.07692296363979034))
    p = fma(p, z, f64(-0.09090908753118555))
    p = fma(p, z, f64(0.11111111105147763))
    p = fma(p, z, f64(-0.14285714285659748))
    p = fma(p, z, f64(0.19999999999999804))
    return fma(p, z, f64(-0.3333333333333333))


def asin_parts_f64(a: f64) -> tuple[f64, f64]:
    """(s, asin(s) - s) for s = a up to 1/2, from there s = sqrt((1 - a) / 2)."""
    large = a > f64(0.5)
    z = select(large, (f64(1.0) - a) * f64(0.5), a * a)
    s = select(large, sqrt(z), a)
    return s, s * (z * asin_series_f64(z))


def asin_f64(x: f64) -> f64:
    """asin x; beyond 1/2 through pi/2 - 2 asin(sqrt((1 - x) / 2)). NaN beyond 1."""
    a = abs(x)
    s, rest = asin_parts_f64(a)
    top = f64(1.5707963267948966) - f64(2.0) * (s + (rest - f64(3.061616997868383e-17)))
    return copysign(select(a > f64(0.5), top, s + rest), x)


def acos_f64(x: f64) -> f64:
    """acos x: 2 asin(sqrt((1 - x) / 2)) near 1, its supplement near -1. NaN beyond 1."""
    a = abs(x)
    s, rest = asin_parts_f64(a)
    near = f64(2.0) * (s + rest)
    far = f64(3.141592653589793) - (near - f64(1.2246467991473532e-16))
    middle = f64(1.5707963267948966) - (x + (copysign(rest, x) - f64(6.123233995736766e-17)))
    return select(a > f64(0.5), select(x > f64(0.0), near, far), middle)


def atan_ratio_f64(a: f64, b: f64) -> f64:
    """atan(a / b) for a, b >= 0, not both 0 or infinite, whose sum does not overflow."""
    steep, middle = a > b * f64(2.414213562373095), a > b * f64(0.41421356237309503)
    top = select(steep, -b, select(middle, a - b, a))
    below = select(steep, a, select(middle, a + b, b))
    high = select(steep, f64(1.5707963267948966),
                  select(middle, f64(0.7853981633974483), f64(0.0)))
    low = select(steep, f64(6.123233995736766e-17),
                 select(middle, f64(3.061616997868383e-17), f64(0.0)))
    t = top / below
    z = t * t
    return high + (t + (fma(t * z, atan_series_f64(z), low)))


def atan_f64(x: f64) -> f64:
    """atan x, of an operand reduced to |t| <= tan(pi/8)."""
    return copysign(atan_ratio_f64(abs(x), f64(1.0)), x)


def atan2_f64(y: f64, x: f64) -> f64:
    """The angle of (x, y), -pi .. pi, with C's special cases (Annex F)."""
    infinity = bitcast_f64(i64(0x7FF0000000000000))
    a, b = abs(y), abs(x)
    huge = (a > f64(1e300)) | (b > f64(1e300))
    scale = select(huge, f64(0.0009765625), f64(1.0))
    equal = a == b
    whole = equal & ((a == infinity) | (a == f64(0.0)))
    p = select(whole, select(a == infinity, f64(1.0), f64(0.0)), a * scale)
    q = select(whole, f64(1.0), b * scale)
    r = atan_ratio_f64(p, q)
    back = f64(3.141592653589793) - (r - f64(1.2246467991473532e-16))
    r = select(copysign(f64(1.0), x) < f64(0.0), back, r)
    r = select((x == x) & (y == y), r, bitcast_f64(i64(0x7FF8000000000000)))
    return copysign(r, y)


def asin_f32(x: f32) -> f32:
    """asin x; NaN beyond 1."""
    return f32(asin_f64(f64(x)))


def acos_f32(x: f32) -> f32:
    """acos x; NaN beyond 1."""
    return f32(acos_f64(f64(x)))


def atan_f32(x: f32) -> f32:
    """atan x."""
    return f32(atan_f64(f64(x)))


def atan2_f32(y: f32, x: f32) -> f32:
    """The angle of (x, y), -pi .. pi."""
    return f32(atan2_f64(f64(y), f64(x)))
