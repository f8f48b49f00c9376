"""Prelude: bits and whole powers: counting, neighbours, scaling, C's remainder, integer powers.

Kernel text like integer.py, whose functions it calls.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def popcount_u32(x: u32) -> u32:
    """How many bits are set: sums of neighbours in parallel."""
    y = u32(x - u32(u32(x >> 1) & u32(0x55555555)))
    y = u32(u32(y & u32(0x33333333)) + u32(u32(y >> 2) & u32(0x33333333)))
    y = u32(u32(y + u32(y >> 4)) & u32(0x0F0F0F0F))
    return u32(u32(y * u32(0x01010101)) >> 24)


def popcount_i32(x: i32) -> i32:
    """How many bits are set."""
    return i32(popcount_u32(u32(x)))


def popcount_u8(x: u8) -> u8:
    """How many bits are set."""
    return u8(popcount_u32(u32(x)))


def popcount_i64(x: i64) -> i64:
    """How many bits are set."""
    return i64(popcount_u32(u32(x))) + i64(popcount_u32(u32(x >> 32)))


def clz_u32(x: u32) -> u32:
    """How many zeros stand above the highest set bit; 32 for 0."""
    y = u32(x | u32(x >> 1))
    y = u32(y | u32(y >> 2))
    y = u32(y | u32(y >> 4))
    y = u32(y | u32(y >> 8))
    y = u32(y | u32(y >> 16))
    return u32(u32(32) - popcount_u32(y))


def clz_i32(x: i32) -> i32:
    """How many zeros stand above the highest set bit; 32 for 0."""
    return i32(clz_u32(u32(x)))


def clz_u8(x: u8) -> u8:
    """How many zeros stand above the highest set bit; 8 for 0."""
    return u8(u32(clz_u32(u32(x)) - u32(24)))


def clz_i64(x: i64) -> i64:
    """How many zeros stand above the highest set bit; 64 for 0."""
    high = u32(x >> 32)
    low = i64(clz_u32(u32(x))) + i64(32)
    return select(high == u32(0), low, i64(clz_u32(high)))


def nextafter_f32(x: f32, y: f32) -> f32:
    """The f32 next to x in the direction of y; y where they are equal."""
    bits = bitcast_i32(x)
    away = (x < y) == (x > f32(0.0))
    moved = bitcast_f32(i32(bits + select(away, i32(1), i32(-1))))
    moved = select(x == f32(0.0), copysign(bitcast_f32(i32(1)), y), moved)
    moved = select(x == y, y, moved)
    return select((x == x) & (y == y), moved, x + y)


def nextafter_f64(x: f64, y: f64) -> f64:
    """The f64 next to x in the direction of y; y where they are equal."""
    bits = bitcast_i64(x)
    away = (x < y) == (x > f64(0.0))
    moved = bitcast_f64(bits + select(away, i64(1), i64(-1)))
    moved = select(x == f64(0.0), copysign(bitcast_f64(i64(1)), y), moved)
    moved = select(x == y, y, moved)
    return select((x == x) & (y == y), moved, x + y)


def ldexp_f64(x: f64, n: i32) -> f64:
    """x times 2**n in two exact factors, or one where it rounds."""
    k = i64(select(n > i32(2200), i32(2200), select(n < i32(-2200), i32(-2200), n)))
    half = k >> 1
    first = select(half > i64(1000), i64(1000), select(half < i64(-1000), i64(-1000), half))
    rest = k - first
    second = select(rest > i64(1000), i64(1000), select(rest < i64(-1000), i64(-1000), rest))
    third = rest - second
    y = x * bitcast_f64((first + i64(1023)) << 52)
    return y * bitcast_f64((second + i64(1023)) << 52) * bitcast_f64((third + i64(1023)) << 52)


def ldexp_f32(x: f32, n: i32) -> f32:
    """x times 2**n, rounded once where it is denormal."""
    k = select(n > i32(400), i32(400), select(n < i32(-400), i32(-400), n))
    return f32(f64(x) * bitcast_f64((i64(k) + i64(1023)) << 52))


def fmod_f64(a: f64, b: f64) -> f64:
    """a - b trunc(a / b), exact, with a's sign; NaN where |a / b| >= 2**300."""
    return copysign(modulus_f64(a, b), a)


def fmod_f32(a: f32, b: f32) -> f32:
    """a - b trunc(a / b), exact, with a's sign."""
    return copysign(f32(modulus_f64(f64(a), f64(b))), a)


def fmod_i64(a: i64, b: i64) -> i64:
    """a - b trunc(a / b), with a's sign; 0 where b is 0."""
    r = rem_i64(a, b)
    return select((r != i64(0)) & ((a < i64(0)) != (b < i64(0))), r - b, r)


def fmod_i32(a: i32, b: i32) -> i32:
    """a - b trunc(a / b), with a's sign; 0 where b is 0."""
    return i32(fmod_i64(i64(a), i64(b)))


def fmod_u32(a: u32, b: u32) -> u32:
    """The remainder; 0 where b is 0."""
    return rem_u32(a, b)


def fmod_u8(a: u8, b: u8) -> u8:
    """The remainder; 0 where b is 0."""
    return rem_u8(a, b)


def power_bit_i64(y: i64, a: i64, n: i64) -> tuple[i64, i64, i64]:
    """One bit of an exponent: y takes a in if it is set, a is squared."""
    return select((n & i64(1)) != i64(0), y * a, y), a * a, n >> 1


def power_nibble_i64(y: i64, a: i64, n: i64) -> tuple[i64, i64, i64]:
    """Four bits of an exponent."""
    y, a, n = power_bit_i64(y, a, n)
    y, a, n = power_bit_i64(y, a, n)
    y, a, n = power_bit_i64(y, a, n)
    return power_bit_i64(y, a, n)


def power_half_i64(y: i64, a: i64, n: i64) -> tuple[i64, i64, i64]:
    """32 bits of an exponent."""
    y, a, n = power_nibble_i64(y, a, n)
    y, a, n = power_nibble_i64(y, a, n)
    y, a, n = power_nibble_i64(y, a, n)
    y, a, n = power_nibble_i64(y, a, n)
    y, a, n = power_nibble_i64(y, a, n)
    y, a, n = power_nibble_i64(y, a, n)
    y, a, n = power_nibble_i64(y, a, n)
    return power_nibble_i64(y, a, n)


def power_below_one_i64(a: i64, n: i64, y: i64) -> i64:
    """y, or for n < 0 the integer part of 1 / a**-n: 0 but for a = 1 and -1; 0 for a = 0."""
    unit = select((n & i64(1)) != i64(0), a, i64(1))
    return select(n < i64(0), select((a == i64(1)) | (a == i64(-1)), unit, i64(0)), y)


def pow_i64(a: i64, n: i64) -> i64:
    """a**n modulo 2**64."""
    y, b, m = power_half_i64(i64(1), a, n)
    y, _, _ = power_half_i64(y, b, m)
    return power_below_one_i64(a, n, y)


def pow_i32(a: i32, n: i32) -> i32:
    """a**n modulo 2**32."""
    y, _, _ = power_half_i64(i64(1), i64(a), i64(n))
    return i32(power_below_one_i64(i64(a), i64(n), y))


def pow_u32(a: u32, n: u32) -> u32:
    """a**n modulo 2**32."""
    y, _, _ = power_half_i64(i64(1), i64(a), i64(n))
    return u32(y)


def pow_u8(a: u8, n: u8) -> u8:
    """a**n modulo 2**8."""
    y, b, m = power_nibble_i64(i64(1), i64(a), i64(n))
    y, _, _ = power_nibble_i64(y, b, m)
    return u8(y)
