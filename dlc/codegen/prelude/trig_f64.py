"""Prelude, f64: sine and cosine up to 2**62.

Kernel text like trig_f32.py, whose argument reduction it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def wave_f64(quadrant: i64, r: f64) -> f64:
    """sin(quadrant pi/2 + r) for |r| <= pi/4."""
    z = r * r
    p = fma(f64(1.589698853422196e-10), z, f64(-2.505076182702334e-08))
    p = fma(p, z, f64(2.7557313718914375e-06))
    p = fma(p, z, f64(-0.00019841269829899103))
    p = fma(p, z, f64(0.008333333333322554))
    p = fma(p, z, f64(-0.16666666666666632))
    sine = fma(r * z, p, r)
    q = fma(f64(-1.1361303193607223e-11), z, f64(2.087575806282081e-09))
    q = fma(q, z, f64(-2.7557314634366583e-07))
    q = fma(q, z, f64(2.4801587290576192e-05))
    q = fma(q, z, f64(-0.0013888888888876133))
    q = fma(q, z, f64(0.041666666666666616))
    cosine = fma(z * z, q, fma(z, f64(-0.5), f64(1.0)))
    y = select((quadrant & i64(1)) == i64(0), sine, cosine)
    return bitcast_f64(bitcast_i64(y) ^ ((quadrant & i64(2)) << 62))


def quarter_turns_f64(a: f64) -> tuple[i64, f64]:
    """(n, r): a = n pi/2 + r for 0 <= a < 2**62, |r| <= pi/4; r is a itself where n is 0."""
    n, s = quarter_turns(a)
    r = select(a < f64(0.78), a, s * f64(1.5707963267948966))
    return bitcast_i64(n + f64(6755399441055744.0)), r


def sin_f64(x: f64) -> f64:
    """sin x for |x| < 2**62; NaN from there on."""
    bits = bitcast_i64(x)
    a = bitcast_f64(bits & i64(0x7FFFFFFFFFFFFFFF))
    n, r = quarter_turns_f64(a)
    y = bitcast_f64(bitcast_i64(wave_f64(n, r)) ^ (bits & i64(-0x8000000000000000)))
    return select(a < f64(4.611686018427388e18), y, bitcast_f64(i64(0x7FF8000000000000)))


def cos_f64(x: f64) -> f64:
    """cos x for |x| < 2**62; NaN from there on."""
    a = bitcast_f64(bitcast_i64(x) & i64(0x7FFFFFFFFFFFFFFF))
    n, r = quarter_turns_f64(a)
    y = wave_f64(n + i64(1), r)
    return select(a < f64(4.611686018427388e18), y, bitcast_f64(i64(0x7FF8000000000000)))
