"""Prelude: complementary and scaled error functions, the inverse of erf.

Kernel text like special_f64.py, whose functions it calls. erfcx(x) (1 + 2 x) is a polynomial in
(x - 4) / (x + 4) on all of x >= 0: Shepherd and Laframboise, Math. Comp. 36, 1981.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def erfcx_series_f64(t: f64) -> f64:
    """erfcx(x) (1 + 2 x) for t = (x - 4) / (x + 4)."""
    p = fma(f64(-2.764120233734578e-10), t, f64(9.297625263709659e-10))
    p = fma(p, t, f64(3.2323973445082033e-09))
    p = fma(p, t, f64(-1.2338731403798444e-08))
    p = fma(p, t, f64(-2.0725802488181963e-08))
    p = fma(p, t, f64(1.0631817593818149e-07))
    p = fma(p, t, f64(7.771943241086912e-08))
    p = fma(p, t, f64(-8.210647933297337e-07))
    p = fma(p, t, f64(2.9173425573089733e-07))
    p = fma(p, t, f64(5.70657829924074e-06))
    p = fma(p, t, f64(-1.1221135665965907e-05))
    p = fma(p, t, f64(-2.4397731143023292e-05))
    p = fma(p, t, f64(0.00015062142608651945))
    p = fma(p, t, f64(-0.0001992571524726518))
    p = fma(p, t, f64(-0.0007577732435942576))
    p = fma(p, t, f64(0.005031970069102256))
    p = fma(p, t, f64(-0.01619773406293477))
    p = fma(p, t, f64(0.037167515526338006))
    p = fma(p, t, f64(-0.06633036581186058))
    p = fma(p, t, f64(0.09373283499911264))
    p = fma(p, t, f64(-0.10103906603631811))
    p = fma(p, t, f64(0.06809705425466839))
    p = fma(p, t, f64(0.015379652102619974))
    p = fma(p, t, f64(-0.13962111684056228))
    return fma(p, t, f64(1.2329951186255526))


def erfinv_middle_f64(w: f64) -> f64:
    """erfinv(x) / x for w = -ln(1 - x**2) <= 6.25."""
    p = fma(f64(1.3642498644599597e-12), w, f64(-6.781936572409029e-11))
    p = fma(p, w, f64(1.4662478804222408e-09))
    p = fma(p, w, f64(-1.7566458759330382e-08))
    p = fma(p, w, f64(1.195024866226794e-07))
    p = fma(p, w, f64(-3.7514665144617307e-07))
    p = fma(p, w, f64(-1.970256770047024e-07))
    p = fma(p, w, f64(6.526499727618186e-07))
    p = fma(p, w, f64(4.817385293757244e-05))
    p = fma(p, w, f64(-0.0001292088339102973))
    p = fma(p, w, f64(-0.0023345757969169705))
    p = fma(p, w, f64(0.011549216921361868))
    p = fma(p, w, f64(0.2320136783922654))
    return fma(p, w, f64(0.8862269252642508))


def erfinv_tail_f64(s: f64) -> f64:
    """erfinv(x) / x for s = sqrt(-ln(1 - x**2)), 2.45 to 6.15."""
    p = fma(f64(2.7098767816103646e-09), s, f64(-1.878387737730039e-07))
    p = fma(p, s, f64(6.047635310993892e-06))
    p = fma(p, s, f64(-0.00011993870615205686))
    p = fma(p, s, f64(0.001638144367244604))
    p = fma(p, s, f64(-0.016315892465127737))
    p = fma(p, s, f64(0.12236942762328937))
    p = fma(p, s, f64(-0.7033708321648385))
    p = fma(p, s, f64(3.122072040250963))
    p = fma(p, s, f64(-10.694462640801646))
    p = fma(p, s, f64(28.02222158404182))
    p = fma(p, s, f64(-55.14554930771978))
    p = fma(p, s, f64(79.00397241621926))
    p = fma(p, s, f64(-78.3365289397312))
    p = fma(p, s, f64(49.512161515878006))
    p = fma(p, s, f64(-16.43282556655333))
    return fma(p, s, f64(2.594696868776141))


def erfcx_f64(x: f64) -> f64:
    """e**(x**2) erfc(x), which is 1 / (x sqrt(pi)) far out; 2 e**(x**2) - erfcx(-x) below 0."""
    a = abs(x)
    b = select(a > f64(1e15), f64(1e15), a)
    t = (b - f64(4.0)) / (b + f64(4.0))
    y = erfcx_series_f64(t) / select(a > f64(1e15), a + a, fma(b, f64(2.0), f64(1.0)))
    h = a * a
    e = exp_f64(h)
    low = fma(a, a, -h)
    e = select(e < bitcast_f64(i64(0x7FF0000000000000)), fma(e, low, e), e)
    return select(x < f64(0.0), e + e - y, y)


def erfc_f64(x: f64) -> f64:
    """1 - erf x without cancellation: e**-(x**2) erfcx(x); from 2 below 0."""
    a = abs(x)
    b = select(a > f64(28.0), f64(28.0), a)
    t = (b - f64(4.0)) / (b + f64(4.0))
    h = b * b
    e = exp_f64(-h)
    e = fma(e, -fma(b, b, -h), e)
    y = e * (erfcx_series_f64(t) / fma(b, f64(2.0), f64(1.0)))
    return select(x < f64(0.0), f64(2.0) - y, y)


def erfinv_start_f64(x: f64) -> f64:
    """erfinv to 2**-31, a polynomial in w = -ln(1 - x**2), from 6.25 on in sqrt(w).

    Giles, "Approximating the erfinv function", GPU Computing Gems, 2011; coefficients our own.
    """
    a = abs(x)
    w = -log_f64((f64(1.0) - a) * (f64(1.0) + a))
    s = select(w < f64(6.25), f64(2.5), sqrt(w))
    y = x * select(w < f64(6.25), erfinv_middle_f64(w), erfinv_tail_f64(s))
    return select(w < bitcast_f64(i64(0x7FF0000000000000)), y, x * w)


def erfinv_f64(x: f64) -> f64:
    """The inverse of erf on (-1, 1), a step of Halley's iteration; +-1 give infinities."""
    a = abs(x)
    y = erfinv_start_f64(a)
    near = fma(y, erf_series_f64(y * y), y) - a
    f = select(a < f64(0.5), near, (f64(1.0) - a) - erfc_f64(y))
    step = f / (f64(1.1283791670955126) * exp_f64(-y * y))
    z = y - step / fma(y, step, f64(1.0))
    return copysign(select(a < f64(1.0), z, y), x)


def erfinv_f32(x: f32) -> f32:
    """The inverse of erf on (-1, 1); +-1 give infinities, beyond is NaN."""
    return f32(erfinv_start_f64(f64(x)))


def erfc_f32(x: f32) -> f32:
    """1 - erf x without cancellation."""
    return f32(erfc_f64(f64(x)))


def erfcx_f32(x: f32) -> f32:
    """e**(x**2) erfc(x)."""
    return f32(erfcx_f64(f64(x)))
