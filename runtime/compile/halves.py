"""Conversions between f32 and the 16-bit floats that lie in memory as u16."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

F32, U32, U16 = ir.FloatType(), ir.IntType(32), ir.IntType(16)
_REBIAS = 112 << 23  # the exponents' biases differ by 127 - 15


def f16_to_f32(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """One instruction where the machine has F16C or NEON."""
    return builder.fpext(builder.bitcast(operands[0], ir.HalfType()), F32)


def f32_to_f16(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """One instruction where the machine has F16C or NEON; rounds to nearest even."""
    return builder.bitcast(builder.fptrunc(operands[0], ir.HalfType()), U16)


def f16_to_f32_integer(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """The same by integer arithmetic: shift, correct the exponent, scale what is subnormal."""
    word = builder.zext(operands[0], U32)
    sign = builder.shl(builder.and_(word, U32(0x8000)), U32(16))
    exponent, fraction = builder.and_(word, U32(0x7C00)), builder.and_(word, U32(0x3FF))
    normal = builder.add(builder.shl(builder.and_(word, U32(0x7FFF)), U32(13)), U32(_REBIAS))
    quiet = builder.select(builder.icmp_unsigned("!=", fraction, U32(0)), U32(0x400000), U32(0))
    special = builder.or_(builder.add(normal, U32(_REBIAS)), quiet)
    small = builder.fmul(builder.uitofp(fraction, F32), F32(2.0 ** -24))
    bits = builder.select(builder.icmp_unsigned("==", exponent, U32(0x7C00)), special, normal)
    bits = builder.select(builder.icmp_unsigned("==", exponent, U32(0)),
                          builder.bitcast(small, U32), bits)
    return builder.bitcast(builder.or_(bits, sign), F32)


def f32_to_f16_integer(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """The same by integer arithmetic. Below 2^-14 the sum with 0.5, whose last place is 2^-24,
    rounds as the subnormal result must."""
    word = builder.bitcast(operands[0], U32)
    sign = builder.and_(builder.lshr(word, U32(16)), U32(0x8000))
    size = builder.and_(word, U32(0x7FFFFFFF))
    odd = builder.and_(builder.lshr(size, U32(13)), U32(1))
    rounded = builder.lshr(builder.add(builder.add(size, U32(0xFFF)), odd), U32(13))
    bits = builder.sub(rounded, U32(_REBIAS >> 13))
    shifted = builder.fadd(builder.bitcast(size, F32), F32(0.5))
    small = builder.sub(builder.bitcast(shifted, U32), U32(0x3F000000))
    payload = builder.and_(builder.lshr(size, U32(13)), U32(0x3FF))
    nan = builder.or_(payload, U32(0x7E00))
    bits = builder.select(builder.icmp_unsigned("<", size, U32(0x38800000)), small, bits)
    bits = builder.select(builder.icmp_unsigned(">=", size, U32(0x477FF000)), U32(0x7C00), bits)
    bits = builder.select(builder.icmp_unsigned(">", size, U32(0x7F800000)), nan, bits)
    return builder.trunc(builder.or_(bits, sign), U16)


def bf16_to_f32(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """The upper half of an f32."""
    return builder.bitcast(builder.shl(builder.zext(operands[0], U32), U32(16)), F32)


def f32_to_bf16(builder: Any, types: tuple[str, ...], operands: list[Any]) -> Any:
    """Round to nearest even by integer arithmetic: vcvtneps2bf16 would flush subnormals."""
    word = builder.bitcast(operands[0], U32)
    high = builder.lshr(word, U32(16))
    odd = builder.and_(high, U32(1))
    rounded = builder.lshr(builder.add(builder.add(word, U32(0x7FFF)), odd), U32(16))
    quiet = builder.or_(high, U32(0x40))
    is_nan = builder.fcmp_unordered("uno", operands[0], operands[0])
    return builder.trunc(builder.select(is_nan, quiet, rounded), U16)
