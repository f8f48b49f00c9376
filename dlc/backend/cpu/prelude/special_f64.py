"""Prelude, f64: error function, power.

Kernel text like exp_log_f64.py, whose functions it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def erf_series_f64(z: f64) -> f64:
    """erf(x) / x - 1 for z = x**2 <= 1."""
    p = fma(f64(-7.801175268272475e-10), z, f64(1.3722967475335192e-08))
    p = fma(p, z, f64(-1.6209173481531726e-07))
    p = fma(p, z, f64(1.644751730095056e-06))
    p = fma(p, z, f64(-1.492474462725616e-05))
    p = fma(p, z, f64(0.00012055295318288334))
    p = fma(p, z, f64(-0.0008548325989610685))
    p = fma(p, z, f64(0.005223977607421393))
    p = fma(p, z, f64(-0.02686617064327593))
    p = fma(p, z, f64(0.11283791670945251))
    p = fma(p, z, f64(-0.3761263890318355))
    return fma(p, z, f64(0.12837916709551256))


def erfc_logarithm_f64(t: f64) -> f64:
    """-ln erfc(t + 3.475) for |t| <= 2.475."""
    q = fma(f64(4.9285309721035976e-12), t, f64(8.665978668858872e-11))
    q = fma(q, t, f64(6.584448477732717e-10))
    q = fma(q, t, f64(2.956591099628962e-09))
    q = fma(q, t, f64(8.239471976738052e-09))
    q = fma(q, t, f64(1.4411796283710828e-08))
    q = fma(q, t, f64(1.3162994302108576e-08))
    q = fma(q, t, f64(-1.4776148784542478e-08))
    q = fma(q, t, f64(5.509351653689474e-08))
    q = fma(q, t, f64(-6.37561557747043e-07))
    q = fma(q, t, f64(3.993160427792135e-06))
    q = fma(q, t, f64(-2.5071915571874217e-05))
    q = fma(q, t, f64(0.00015101788605984294))
    q = fma(q, t, f64(-0.000892325396930106))
    q = fma(q, t, f64(0.0053139556893428514))
    q = fma(q, t, f64(0.9663578305596849))
    q = fma(q, t, f64(7.217771788540741))
    return fma(q, t, f64(13.931389051100044))


def erf_f64(x: f64) -> f64:
    """erf x: an odd polynomial up to 1, then 1 - e**-q(|x|) with a polynomial for -ln erfc."""
    bits = bitcast_i64(x)
    a = bitcast_f64(bits & i64(0x7FFFFFFFFFFFFFFF))
    b = select(a > f64(5.95), f64(5.95), a)
    large = f64(1.0) - exp_f64(-erfc_logarithm_f64(b - f64(3.475)))
    y = select(a < f64(1.0), fma(a, erf_series_f64(a * a), a), large)
    return bitcast_f64(bitcast_i64(y) | (bits & i64(-0x8000000000000000)))


def pow_f64(x: f64, y: f64) -> f64:
    """x ** y with C's special cases (Annex F): 2 ** (y log2 |x|), log2 and product in two parts."""
    a = bitcast_f64(bitcast_i64(x) & i64(0x7FFFFFFFFFFFFFFF))
    high, low = log2_parts_f64(a)
    p = y * log_edges_f64(a, high)
    rest = fma(y, high, -p) + y * low
    ordinary = (p > f64(-1077.0)) & (p < f64(1025.0))
    z = exp2_sum_f64(p, select(ordinary, rest, f64(0.0)))
    z = select(a == f64(1.0), f64(1.0), z)
    half = y * f64(0.5)
    odd = (rint(half) != half) & (rint(y) == y)
    sign = select(odd, bitcast_i64(x) & i64(-0x8000000000000000), i64(0))
    z = bitcast_f64(bitcast_i64(z) | sign)
    negative = (x < f64(0.0)) & (a < bitcast_f64(i64(0x7FF0000000000000)))
    z = select(negative & (rint(y) != y), bitcast_f64(i64(0x7FF8000000000000)), z)
    return select((y == f64(0.0)) | (x == f64(1.0)), f64(1.0), z)
