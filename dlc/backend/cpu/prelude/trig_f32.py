"""Prelude: argument reduction to quarter turns for every f32, and f32 sine and cosine.

Kernel text like exp_log_f32.py. The reduction follows Payne and Hanek, "Radian Reduction for
Trigonometric Functions", SIGNUM 18(1), 1983: only the bits of 2 / pi that matter are multiplied.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def quarter_turns(a: f64) -> tuple[f64, f64]:
    """(n, s) with a * 2 / pi = n + s modulo 4, n an integer, |s| <= 1/2; for 0 <= a < 2**128.

    2 / pi is c0 + c1 + c2, 53 bits each. From 2**62 on its leading 37 bits make multiples of 4
    and are left out. fma gives the exact remainder of a product. Sums round only where the result
    is large enough not to feel it: near a multiple of pi/2 every sum but the last is exact.
    """
    large = a >= f64(4.611686018427388e18)
    c0 = select(large, f64(5.6988464503500404e-12), f64(0.6366197723675814))
    c1 = select(large, f64(2.2665978049569947e-28), f64(-3.935735335036497e-17))
    c2 = select(large, f64(-1.8637519040901004e-44), f64(-2.1442872565786008e-33))
    p = a * c0
    tail = fma(a, c0, -p)
    p = fma(rint(p * f64(0.25)), f64(-4.0), p)
    n = rint(p)
    carry = rint(tail)
    s = (p - n) + (tail - carry)
    n = n + carry
    p = a * c1
    tail = fma(a, c1, -p)
    carry = rint(p)
    s = s + (p - carry)
    n = n + carry
    carry = rint(s)
    return n + carry, (s - carry) + fma(a, c2, tail)


def quarter_turns_f32(x: f32) -> tuple[i32, f32]:
    """(n, r): |x| = n pi/2 + r, |r| <= pi/4; the low two bits of n name the quadrant."""
    n, s = quarter_turns(f64(bitcast_f32(i32(bitcast_i32(x) & i32(0x7FFFFFFF)))))
    quadrant = i32(bitcast_i64(n + f64(6755399441055744.0)))
    return quadrant, f32(s * f64(1.5707963267948966))


def wave_f32(quadrant: i32, r: f32) -> f32:
    """sin(quadrant pi/2 + r) for |r| <= pi/4."""
    z = r * r
    p = fma(f32(-0.00019518605), z, f32(0.008332191))
    p = fma(p, z, f32(-0.16666655))
    sine = fma(r * z, p, r)
    q = fma(f32(2.4432327e-05), z, f32(-0.001388731))
    q = fma(q, z, f32(0.041666646))
    q = fma(q, z, f32(-0.5))
    cosine = fma(q, z, f32(1.0))
    y = select(i32(quadrant & i32(1)) == i32(0), sine, cosine)
    return bitcast_f32(i32(bitcast_i32(y) ^ i32(i32(quadrant & i32(2)) << 30)))


def sin_f32(x: f32) -> f32:
    """sin x for every f32; infinities give NaN."""
    n, r = quarter_turns_f32(x)
    sign = i32(bitcast_i32(x) & i32(-2147483648))
    return bitcast_f32(i32(bitcast_i32(wave_f32(n, r)) ^ sign))


def cos_f32(x: f32) -> f32:
    """cos x for every f32; infinities give NaN."""
    n, r = quarter_turns_f32(x)
    return wave_f32(i32(n + i32(1)), r)
