"""Prelude: the functions of integer.py and bits.py for i8, i16, u16 and u64, a text a shape.

A shape is filled in for each dtype `t` of `bits` bits: the narrow ones compute in i64 or u32 and
wrap.
"""

from __future__ import annotations

DIVISION_OF_SIGNED = '''
def floordiv_{t}(a: {t}, b: {t}) -> {t}:
    """floor(a / b); 0 where b is 0."""
    return {t}(floordiv_i64(i64(a), i64(b)))


def rem_{t}(a: {t}, b: {t}) -> {t}:
    """a - b floor(a / b)."""
    return {t}(rem_i64(i64(a), i64(b)))


def fmod_{t}(a: {t}, b: {t}) -> {t}:
    """a - b trunc(a / b), with a's sign; 0 where b is 0."""
    return {t}(fmod_i64(i64(a), i64(b)))
'''

DIVISION_OF_UNSIGNED = '''
def floordiv_{t}(a: {t}, b: {t}) -> {t}:
    """a // b; 0 where b is 0."""
    zero = b == {t}(0)
    return select(zero, {t}(0), idiv(a, select(zero, {t}(1), b)))


def rem_{t}(a: {t}, b: {t}) -> {t}:
    """a % b; 0 where b is 0."""
    zero = b == {t}(0)
    return select(zero, {t}(0), imod(a, select(zero, {t}(1), b)))


def fmod_{t}(a: {t}, b: {t}) -> {t}:
    """The remainder; 0 where b is 0."""
    return rem_{t}(a, b)
'''

SIGN_OF_SIGNED = '''
def sign_{t}(x: {t}) -> {t}:
    """-1, 0 or 1."""
    return select(x > {t}(0), {t}(1), select(x < {t}(0), {t}(-1), {t}(0)))
'''

SIGN_OF_UNSIGNED = '''
def sign_{t}(x: {t}) -> {t}:
    """0 or 1."""
    return select(x == {t}(0), {t}(0), {t}(1))
'''

SHIFTS = '''
def shl_{t}(x: {t}, n: {t}) -> {t}:
    """x << n; 0 where n is no bit position."""
    inside = {inside}
    return select(inside, {t}(x << {t}(n & {t}({last}))), {t}(0))


def shr_{t}(x: {t}, n: {t}) -> {t}:
    """x >> n; 0 where n is no bit position."""
    inside = {inside}
    return select(inside, {t}(x >> {t}(n & {t}({last}))), {t}(0))
'''

COUNTS_OF_NARROW = '''
def popcount_{t}(x: {t}) -> {t}:
    """How many bits are set."""
    return {t}(popcount_u32(u32(u{bits}(x))))


def clz_{t}(x: {t}) -> {t}:
    """How many bits above the highest that is set."""
    return {t}(u32(clz_u32(u32(u{bits}(x))) - u32({above})))
'''

POWER_OF_NARROW = '''
def pow_{t}(a: {t}, n: {t}) -> {t}:
    """a**n modulo 2**{bits}."""
    y, b, m = power_nibble_i64(i64(1), i64(a), i64(n))
    y, b, m = power_nibble_i64(y, b, m)
    y, b, m = power_nibble_i64(y, b, m)
    y, _, _ = power_nibble_i64(y, b, m)
    return {t}({power})
'''

NARROW = (COUNTS_OF_NARROW, POWER_OF_NARROW)
SIGNED = (DIVISION_OF_SIGNED, SIGN_OF_SIGNED, SHIFTS)
UNSIGNED = (DIVISION_OF_UNSIGNED, SIGN_OF_UNSIGNED, SHIFTS)
# u64 counts and multiplies in halves: whole_u64.py
SHAPES = {"i8": (*SIGNED, *NARROW), "i16": (*SIGNED, *NARROW), "u16": (*UNSIGNED, *NARROW),
          "u64": UNSIGNED}


def widths_text() -> str:
    """The functions of all four dtypes."""
    return "\n".join(filled(shape, t) for t, shapes in SHAPES.items() for shape in shapes)


def filled(shape: str, t: str) -> str:
    """The functions of `shape` for the dtype `t`."""
    bits, signed = int(t[1:]), t[0] == "i"
    below = f"n < {t}({bits})"
    return shape.format(
        t=t, bits=bits, last=bits - 1, above=32 - bits,
        inside=f"(n >= {t}(0)) & ({below})" if signed else below,
        power="power_below_one_i64(i64(a), i64(n), y)" if signed else "y")
