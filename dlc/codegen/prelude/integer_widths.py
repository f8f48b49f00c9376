"""Prelude: the functions of integer.py and bits.py for i8, i16, u16 and u64.

Kernel text like exp_log_f32.py. The narrow ones compute in i64 or u32 and wrap.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def floordiv_i8(a: i8, b: i8) -> i8:
    """floor(a / b); 0 where b is 0."""
    return i8(floordiv_i64(i64(a), i64(b)))


def rem_i8(a: i8, b: i8) -> i8:
    """a - b floor(a / b)."""
    return i8(rem_i64(i64(a), i64(b)))


def fmod_i8(a: i8, b: i8) -> i8:
    """a - b trunc(a / b), with a's sign; 0 where b is 0."""
    return i8(fmod_i64(i64(a), i64(b)))


def floordiv_i16(a: i16, b: i16) -> i16:
    """floor(a / b); 0 where b is 0."""
    return i16(floordiv_i64(i64(a), i64(b)))


def rem_i16(a: i16, b: i16) -> i16:
    """a - b floor(a / b)."""
    return i16(rem_i64(i64(a), i64(b)))


def fmod_i16(a: i16, b: i16) -> i16:
    """a - b trunc(a / b), with a's sign; 0 where b is 0."""
    return i16(fmod_i64(i64(a), i64(b)))


def floordiv_u16(a: u16, b: u16) -> u16:
    """a // b; 0 where b is 0."""
    zero = b == u16(0)
    return select(zero, u16(0), idiv(a, select(zero, u16(1), b)))


def rem_u16(a: u16, b: u16) -> u16:
    """a % b; 0 where b is 0."""
    zero = b == u16(0)
    return select(zero, u16(0), imod(a, select(zero, u16(1), b)))


def fmod_u16(a: u16, b: u16) -> u16:
    """The remainder; 0 where b is 0."""
    return rem_u16(a, b)


def floordiv_u64(a: u64, b: u64) -> u64:
    """a // b; 0 where b is 0."""
    zero = b == u64(0)
    return select(zero, u64(0), idiv(a, select(zero, u64(1), b)))


def rem_u64(a: u64, b: u64) -> u64:
    """a % b; 0 where b is 0."""
    zero = b == u64(0)
    return select(zero, u64(0), imod(a, select(zero, u64(1), b)))


def fmod_u64(a: u64, b: u64) -> u64:
    """The remainder; 0 where b is 0."""
    return rem_u64(a, b)


def sign_i8(x: i8) -> i8:
    """-1, 0 or 1."""
    return select(x > i8(0), i8(1), select(x < i8(0), i8(-1), i8(0)))


def sign_i16(x: i16) -> i16:
    """-1, 0 or 1."""
    return select(x > i16(0), i16(1), select(x < i16(0), i16(-1), i16(0)))


def sign_u16(x: u16) -> u16:
    """0 or 1."""
    return select(x == u16(0), u16(0), u16(1))


def sign_u64(x: u64) -> u64:
    """0 or 1."""
    return select(x == u64(0), u64(0), u64(1))


def shl_i8(x: i8, n: i8) -> i8:
    """x << n; 0 where n is no bit position."""
    inside = (n >= i8(0)) & (n < i8(8))
    return select(inside, i8(x << i8(n & i8(7))), i8(0))


def shr_i8(x: i8, n: i8) -> i8:
    """x >> n; 0 where n is no bit position."""
    inside = (n >= i8(0)) & (n < i8(8))
    return select(inside, i8(x >> i8(n & i8(7))), i8(0))


def shl_i16(x: i16, n: i16) -> i16:
    """x << n; 0 where n is no bit position."""
    inside = (n >= i16(0)) & (n < i16(16))
    return select(inside, i16(x << i16(n & i16(15))), i16(0))


def shr_i16(x: i16, n: i16) -> i16:
    """x >> n; 0 where n is no bit position."""
    inside = (n >= i16(0)) & (n < i16(16))
    return select(inside, i16(x >> i16(n & i16(15))), i16(0))


def shl_u16(x: u16, n: u16) -> u16:
    """x << n; 0 where n is no bit position."""
    inside = n < u16(16)
    return select(inside, u16(x << u16(n & u16(15))), u16(0))


def shr_u16(x: u16, n: u16) -> u16:
    """x >> n; 0 where n is no bit position."""
    inside = n < u16(16)
    return select(inside, u16(x >> u16(n & u16(15))), u16(0))


def shl_u64(x: u64, n: u64) -> u64:
    """x << n; 0 where n is no bit position."""
    inside = n < u64(64)
    return select(inside, u64(x << u64(n & u64(63))), u64(0))


def shr_u64(x: u64, n: u64) -> u64:
    """x >> n; 0 where n is no bit position."""
    inside = n < u64(64)
    return select(inside, u64(x >> u64(n & u64(63))), u64(0))


def popcount_i8(x: i8) -> i8:
    """How many bits are set."""
    return i8(popcount_u32(u32(u8(x))))


def popcount_i16(x: i16) -> i16:
    """How many bits are set."""
    return i16(popcount_u32(u32(u16(x))))


def popcount_u16(x: u16) -> u16:
    """How many bits are set."""
    return u16(popcount_u32(u32(x)))


def popcount_u64(x: u64) -> u64:
    """How many bits are set."""
    return u64(u32(popcount_u32(u32(x)) + popcount_u32(u32(x >> u64(32)))))


def clz_i8(x: i8) -> i8:
    """How many bits above the highest that is set."""
    return i8(u32(clz_u32(u32(u8(x))) - u32(24)))


def clz_i16(x: i16) -> i16:
    """How many bits above the highest that is set."""
    return i16(u32(clz_u32(u32(u16(x))) - u32(16)))


def clz_u16(x: u16) -> u16:
    """How many bits above the highest that is set."""
    return u16(u32(clz_u32(u32(x)) - u32(16)))


def clz_u64(x: u64) -> u64:
    """How many bits above the highest that is set."""
    high = u32(x >> u64(32))
    low = u64(clz_u32(u32(x))) + u64(32)
    return select(high == u32(0), low, u64(clz_u32(high)))


def pow_i8(a: i8, n: i8) -> i8:
    """a**n modulo 2**8."""
    y, b, m = power_nibble_i64(i64(1), i64(a), i64(n))
    y, b, m = power_nibble_i64(y, b, m)
    y, b, m = power_nibble_i64(y, b, m)
    y, _, _ = power_nibble_i64(y, b, m)
    return i8(power_below_one_i64(i64(a), i64(n), y))


def pow_i16(a: i16, n: i16) -> i16:
    """a**n modulo 2**16."""
    y, b, m = power_nibble_i64(i64(1), i64(a), i64(n))
    y, b, m = power_nibble_i64(y, b, m)
    y, b, m = power_nibble_i64(y, b, m)
    y, _, _ = power_nibble_i64(y, b, m)
    return i16(power_below_one_i64(i64(a), i64(n), y))


def pow_u16(a: u16, n: u16) -> u16:
    """a**n modulo 2**16."""
    y, b, m = power_nibble_i64(i64(1), i64(a), i64(n))
    y, b, m = power_nibble_i64(y, b, m)
    y, b, m = power_nibble_i64(y, b, m)
    y, _, _ = power_nibble_i64(y, b, m)
    return u16(y)


def pow_u64(a: u64, n: u64) -> u64:
    """a**n modulo 2**64: the bits of i64's, whose exponent is shifted as unsigned."""
    low = i64(n & u64(4294967295))
    high = i64(n >> u64(32))
    y, b, _ = power_half_i64(i64(1), i64(a), low)
    y, _, _ = power_half_i64(y, b, high)
    return u64(y)


def odd_u64(x: u64) -> f32:
    """x as f32, rounded to odd: from 2**53 on the lowest eleven bits become one."""
    high = x & u64(i64(-2048))
    sticky = select(high != x, u64(2048), u64(0))
    large = (x >> u64(53)) != u64(0)
    return odd_f64(f64(select(large, high | sticky, x)))
