"""Prelude, f64: sine, cosine, tangent for every operand, and of multiples of pi.

Kernel text like trig_f32.py.
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


def two_over_pi_f64(j: i64) -> tuple[f64, f64, f64, f64, f64]:
    """Five pieces of 2 / pi from the j-th on, 53 bits each, as fractions; j is 0 .. 18."""
    far = (j & i64(16)) != i64(0)
    d0 = select(far, f64(0.495348441190541), f64(0.6366197723675813))
    d1 = select(far, f64(0.9093006150323975), f64(0.6455004762340146))
    d2 = select(far, f64(0.7102755855591438), f64(0.8260347502167291))
    d3 = select(far, f64(0.9716433593102769), f64(0.6177029686506639))
    d4 = select(far, f64(0.645159640989469), f64(0.22946046207480975))
    d5 = select(far, f64(0.38377539675336436), f64(0.28461387860774945))
    d6 = select(far, f64(0.7971457910852385), f64(0.006138546976630632))
    far = (j & i64(8)) != i64(0)
    d0 = select(far, f64(0.16270821739654884), d0)
    d1 = select(far, f64(0.6478181222020806), d1)
    d2 = select(far, f64(0.752362340216695), d2)
    d3 = select(far, f64(0.7848375294503177), d3)
    d4 = select(far, f64(0.2882121784458589), d4)
    d5 = select(far, f64(0.3143043483578357), d5)
    d6 = select(far, f64(0.505462883924126), d6)
    d7 = select(far, f64(0.35474129975356194), f64(0.5660391411155584))
    d8 = select(far, f64(0.495348441190541), f64(0.16270821739654884))
    d9 = select(far, f64(0.9093006150323975), f64(0.6478181222020806))
    d10 = select(far, f64(0.7102755855591438), f64(0.752362340216695))
    d11 = select(far, f64(0.9716433593102769), f64(0.7848375294503177))
    far = (j & i64(4)) != i64(0)
    d0 = select(far, d4, d0)
    d1 = select(far, d5, d1)
    d2 = select(far, d6, d2)
    d3 = select(far, d7, d3)
    d4 = select(far, d8, d4)
    d5 = select(far, d9, d5)
    d6 = select(far, d10, d6)
    d7 = select(far, d11, d7)
    far = (j & i64(2)) != i64(0)
    d0 = select(far, d2, d0)
    d1 = select(far, d3, d1)
    d2 = select(far, d4, d2)
    d3 = select(far, d5, d3)
    d4 = select(far, d6, d4)
    d5 = select(far, d7, d5)
    far = (j & i64(1)) != i64(0)
    d0 = select(far, d1, d0)
    d1 = select(far, d2, d1)
    d2 = select(far, d3, d2)
    d3 = select(far, d4, d3)
    d4 = select(far, d5, d4)
    return d0, d1, d2, d3, d4


def turns_f64(p: f64) -> f64:
    """p without its multiples of 4, exactly: |result| <= 2."""
    return fma(rint(p * f64(0.25)), f64(-4.0), p)


def sum_f64(a: f64, b: f64) -> tuple[f64, f64]:
    """(a + b rounded, what rounding took): Knuth's two-sum."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def quarter_turns_f64(a: f64) -> tuple[i64, f64]:
    """(n, r): a = n pi/2 + r for finite a >= 0, |r| <= pi/4; the low two bits of n count.

    Payne and Hanek's reduction: pieces of 2 / pi whose product with a is a multiple of 4 are left
    out, the next five give a 2 / pi modulo 4 to 2**-150, enough where a is next to a multiple of
    pi / 2 (the nearest of all f64 is 2**-61 away).
    """
    exponent = f64(bitcast_i64(a) >> 52)
    j = i64(floor((exponent - f64(1076.5)) * f64(0.018867924528301886)))
    j = select(exponent > f64(1129.5), j, i64(0))
    d0, d1, d2, d3, d4 = two_over_pi_f64(j)
    b = a * bitcast_f64((i64(1023) - i64(53) * j) << 52)
    h0 = b * d0
    l0 = turns_f64(fma(b, d0, -h0))
    h0 = turns_f64(h0)
    b = b * f64(1.1102230246251565e-16)
    h1 = b * d1
    l1 = turns_f64(fma(b, d1, -h1))
    h1 = turns_f64(h1)
    b = b * f64(1.1102230246251565e-16)
    h2 = b * d2
    l2 = fma(b, d2, -h2)
    b = b * f64(1.1102230246251565e-16)
    h3 = b * d3
    l3 = fma(b, d3, -h3)
    l3 = fma(b * f64(1.1102230246251565e-16), d4, l3)
    n = rint(h0) + rint(l0) + rint(h1) + rint(l1)
    s, e0 = sum_f64(h0 - rint(h0), l0 - rint(l0))
    s, e1 = sum_f64(s, h1 - rint(h1))
    s, e2 = sum_f64(s, l1 - rint(l1))
    s, e3 = sum_f64(s, h2)
    whole = rint(s)
    n = n + whole
    s, e4 = sum_f64(s - whole, e0)
    s, e5 = sum_f64(s, e1)
    s, e6 = sum_f64(s, e2)
    s, e7 = sum_f64(s, e3)
    s, e8 = sum_f64(s, l2)
    s, e9 = sum_f64(s, h3)
    s = s + (((((e4 + e5) + (e6 + e7)) + e8) + e9) + l3)
    whole = rint(s)
    r = select(a < f64(0.78), a, (s - whole) * f64(1.5707963267948966))
    return bitcast_i64(n + whole + f64(6755399441055744.0)), r


def waves_f64(n: i64, r: f64) -> tuple[f64, f64]:
    """(sin, cos) of n pi/2 + r for |r| <= pi/4."""
    return wave_f64(n, r), wave_f64(n + i64(1), r)


def sin_f64(x: f64) -> f64:
    """sin x for every f64; infinities give NaN."""
    bits = bitcast_i64(x)
    n, r = quarter_turns_f64(bitcast_f64(bits & i64(0x7FFFFFFFFFFFFFFF)))
    return bitcast_f64(bitcast_i64(wave_f64(n, r)) ^ (bits & i64(-0x8000000000000000)))


def cos_f64(x: f64) -> f64:
    """cos x for every f64; infinities give NaN."""
    n, r = quarter_turns_f64(bitcast_f64(bitcast_i64(x) & i64(0x7FFFFFFFFFFFFFFF)))
    return wave_f64(n + i64(1), r)


def tan_f64(x: f64) -> f64:
    """tan x for every f64; infinities give NaN."""
    bits = bitcast_i64(x)
    n, r = quarter_turns_f64(bitcast_f64(bits & i64(0x7FFFFFFFFFFFFFFF)))
    sine, cosine = waves_f64(n, r)
    return bitcast_f64(bitcast_i64(sine / cosine) ^ (bits & i64(-0x8000000000000000)))


def tan_f32(x: f32) -> f32:
    """tan x for every f32, computed in f64 after f32's own reduction."""
    a = f64(bitcast_f32(i32(bitcast_i32(x) & i32(0x7FFFFFFF))))
    n, s = quarter_turns(a)
    r = select(a < f64(0.78), a, s * f64(1.5707963267948966))
    sine, cosine = waves_f64(bitcast_i64(n + f64(6755399441055744.0)), r)
    y = f32(sine / cosine)
    return bitcast_f32(i32(bitcast_i32(y) ^ i32(bitcast_i32(x) & i32(-2147483648))))


def sinpi_f64(x: f64) -> f64:
    """sin(pi x), exactly 0 (with x's sign) at integers; infinities give NaN."""
    b = fma(rint(x * f64(0.5)), f64(-2.0), x)
    n = rint(b + b)
    y = wave_f64(bitcast_i64(n + f64(6755399441055744.0)),
                 fma(n, f64(-0.5), b) * f64(3.141592653589793))
    return select(rint(x) == x, copysign(f64(0.0), x), y)


def cospi_f64(x: f64) -> f64:
    """cos(pi x), exactly 0 halfway between integers; infinities give NaN."""
    b = fma(rint(x * f64(0.5)), f64(-2.0), x)
    n = rint(b + b)
    y = wave_f64(bitcast_i64(n + f64(6755399441055745.0)),
                 fma(n, f64(-0.5), b) * f64(3.141592653589793))
    odd = (n == b + b) & (rint(n * f64(0.5)) != n * f64(0.5))
    return select(odd, f64(0.0), y)
