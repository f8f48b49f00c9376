"""Prelude: floor division, remainder, sign and shifts of integers, total: nothing traps.

Kernel text like exp_log_f32.py. x // 0 and x % 0 are 0, the least integer // -1 is itself, a
shift by no bit position gives 0. Remainders have the divisor's sign.
"""
# mypy: disable-error-code="name-defined"
# ruff: noqa: F821


def floordiv_i64(a: i64, b: i64) -> i64:
    """floor(a / b) from the quotient of magnitudes, which fit u64."""
    size = u64(select(b == i64(0), i64(1), select(b < i64(0), -b, b)))
    q = idiv(u64(select(a < i64(0), -a, a)), size)
    exact = imod(u64(select(a < i64(0), -a, a)), size) == u64(0)
    down = select(exact, -i64(q), -i64(q) - i64(1))
    q = select((a < i64(0)) != (b < i64(0)), down, i64(q))
    return select(b == i64(0), i64(0), q)


def rem_i64(a: i64, b: i64) -> i64:
    """a - b floor(a / b)."""
    return select(b == i64(0), i64(0), a - b * floordiv_i64(a, b))


def floordiv_i32(a: i32, b: i32) -> i32:
    """floor(a / b)."""
    return i32(floordiv_i64(i64(a), i64(b)))


def rem_i32(a: i32, b: i32) -> i32:
    """a - b floor(a / b)."""
    return i32(rem_i64(i64(a), i64(b)))


def floordiv_u32(a: u32, b: u32) -> u32:
    """floor(a / b)."""
    zero = b == u32(0)
    return select(zero, u32(0), idiv(a, select(zero, u32(1), b)))


def rem_u32(a: u32, b: u32) -> u32:
    """a - b floor(a / b)."""
    zero = b == u32(0)
    return select(zero, u32(0), imod(a, select(zero, u32(1), b)))


def floordiv_u8(a: u8, b: u8) -> u8:
    """floor(a / b)."""
    zero = b == u8(0)
    return select(zero, u8(0), idiv(a, select(zero, u8(1), b)))


def rem_u8(a: u8, b: u8) -> u8:
    """a - b floor(a / b)."""
    zero = b == u8(0)
    return select(zero, u8(0), imod(a, select(zero, u8(1), b)))


def sign_i32(x: i32) -> i32:
    """-1, 0 or 1."""
    return select(x > i32(0), i32(1), select(x < i32(0), i32(-1), i32(0)))


def sign_i64(x: i64) -> i64:
    """-1, 0 or 1."""
    return select(x > i64(0), i64(1), select(x < i64(0), i64(-1), i64(0)))


def sign_u32(x: u32) -> u32:
    """0 or 1."""
    return select(x == u32(0), u32(0), u32(1))


def sign_u8(x: u8) -> u8:
    """0 or 1."""
    return select(x == u8(0), u8(0), u8(1))


def shl_i32(x: i32, n: i32) -> i32:
    """x times 2**n, modulo 2**32."""
    inside = (n >= i32(0)) & (n < i32(32))
    return select(inside, i32(x << i32(n & i32(31))), i32(0))


def shr_i32(x: i32, n: i32) -> i32:
    """x over 2**n, rounded down."""
    inside = (n >= i32(0)) & (n < i32(32))
    return select(inside, i32(x >> i32(n & i32(31))), i32(0))


def shl_i64(x: i64, n: i64) -> i64:
    """x times 2**n, modulo 2**64."""
    inside = (n >= i64(0)) & (n < i64(64))
    return select(inside, i64(x << i64(n & i64(63))), i64(0))


def shr_i64(x: i64, n: i64) -> i64:
    """x over 2**n, rounded down."""
    inside = (n >= i64(0)) & (n < i64(64))
    return select(inside, i64(x >> i64(n & i64(63))), i64(0))


def shl_u32(x: u32, n: u32) -> u32:
    """x times 2**n, modulo 2**32."""
    inside = n < u32(32)
    return select(inside, u32(x << u32(n & u32(31))), u32(0))


def shr_u32(x: u32, n: u32) -> u32:
    """x over 2**n, rounded down."""
    inside = n < u32(32)
    return select(inside, u32(x >> u32(n & u32(31))), u32(0))


def shl_u8(x: u8, n: u8) -> u8:
    """x times 2**n, modulo 2**8."""
    inside = n < u8(8)
    return select(inside, u8(x << u8(n & u8(7))), u8(0))


def shr_u8(x: u8, n: u8) -> u8:
    """x over 2**n, rounded down."""
    inside = n < u8(8)
    return select(inside, u8(x >> u8(n & u8(7))), u8(0))
