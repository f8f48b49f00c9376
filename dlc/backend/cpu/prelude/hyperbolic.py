"""Prelude: hyperbolic functions and their inverses; f32 is rounded from f64.

Kernel text like exp_log_f64.py, whose functions it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def sinh_f64(x: f64) -> f64:
    """(E + E / (E + 1)) / 2 with E = e**|x| - 1; from 22 on e**|x| / 2 as a square."""
    a = abs(x)
    e = expm1_f64(select(a > f64(22.0), f64(22.0), a))
    h = exp_f64(a * f64(0.5))
    y = select(a > f64(22.0), f64(0.5) * h * h, f64(0.5) * (e + e / (e + f64(1.0))))
    return copysign(y, x)


def cosh_f64(x: f64) -> f64:
    """(e + 1 / e) / 2 with e = e**|x|; from 22 on e**|x| / 2 as a square."""
    a = abs(x)
    h = exp_f64(a * f64(0.5))
    e = exp_f64(select(a > f64(22.0), f64(22.0), a))
    return select(a > f64(22.0), f64(0.5) * h * h, f64(0.5) * (e + f64(1.0) / e))


def asinh_f64(x: f64) -> f64:
    """log1p(a + a**2 / (1 + sqrt(1 + a**2))) with x's sign; far out ln a + ln 2."""
    a = abs(x)
    large = a > f64(268435456.0)
    b = select(large, f64(1.0), a)
    z = b * b
    near = log1p_f64(b + z / (f64(1.0) + sqrt(f64(1.0) + z)))
    far = log_f64(a) + f64(0.6931471805599453)
    return copysign(select(large, far, near), x)


def acosh_f64(x: f64) -> f64:
    """log1p(t + sqrt(2 t + t**2)) with t = x - 1; far out ln x + ln 2. NaN below 1."""
    large = x > f64(268435456.0)
    t = select(large, f64(1.0), x - f64(1.0))
    near = log1p_f64(t + sqrt(fma(t, t, t + t)))
    y = select(large, log_f64(x) + f64(0.6931471805599453), near)
    return select(x < f64(1.0), bitcast_f64(i64(0x7FF8000000000000)), y)


def atanh_f64(x: f64) -> f64:
    """log1p(2 a / (1 - a)) / 2 with x's sign; +-1 give infinities, beyond is NaN."""
    a = abs(x)
    return copysign(f64(0.5) * log1p_f64((a + a) / (f64(1.0) - a)), x)


def sinh_f32(x: f32) -> f32:
    """sinh x."""
    return f32(sinh_f64(f64(x)))


def cosh_f32(x: f32) -> f32:
    """cosh x."""
    return f32(cosh_f64(f64(x)))


def asinh_f32(x: f32) -> f32:
    """asinh x."""
    return f32(asinh_f64(f64(x)))


def acosh_f32(x: f32) -> f32:
    """acosh x; NaN below 1."""
    return f32(acosh_f64(f64(x)))


def atanh_f32(x: f32) -> f32:
    """atanh x; NaN beyond 1."""
    return f32(atanh_f64(f64(x)))
