"""The size thresholds of lowering: schemes, boxes and chunks.

A number here decides speed and roundings, never a result: kernels are right at any value. They
travel with the instruction set (`Isa.limits`), so that tests can make them small and have small
programs reach every scheme, box, tail and split.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

MAY_BE_0 = ("plain_products", "vectors", "fused")


@dataclass(frozen=True)
class Limits:
    """Raises ValueError for a number below 1, with which nothing could be cut.

    Figures behind the defaults are in docs/design/contractions.md. `plain_products` may be 0.
    """

    # ---- contractions ----
    plain_products: int = 8192
    """multiplications up to which plain loops beat packing"""
    chunks: int = 8
    """chunks that a contraction should have: twice four threads"""
    cores: int = 64
    """chunks that large work has: one for each core of a large machine"""
    chunk_products: int = 1 << 22
    """products of a chunk where there are more of them: some 50 us"""
    columns: int = 64
    """columns of B packed at a time: two strips of 32, or four of 16"""
    local_bytes: int = 256 * 1024
    """bytes of a packed block of B: it shares the second-level cache with A"""
    products: int = 128
    """products that an accumulator of a tile adds up before they are added to the block of C"""
    split_sum: int = 4096
    """elements of the summed axis from which few outputs are split along it"""
    wide: int = 640
    """rows and columns of outputs whose sum is cut for the cores of a large machine: of 640 a part
    packs 102 products at a time"""
    apart: int = 16384
    """elements whose packing a launch that packs must spare others: some 5 us of copying"""
    turned: int = 4096
    """elements of a row that is evaluated before it is transposed: 16 rows fill 256 KiB"""
    turned_rows: int = 16
    """rows that are evaluated before they are transposed: the lanes of the widest vector"""
    images: int = 8
    """images that a chunk of dots sums: fewer pay for the sums of lanes, more for the parts"""
    packing: int = 20
    """products in whose time gemm packs an element of a window, where dots could do without"""
    lane_sums: int = 8
    """products of vectors in whose time dots add up the lanes of a sum, store it and add it up"""
    waste: int = 12
    """taps run while they compute at most 1 + waste / rows times the outputs"""

    # ---- loops and scatters ----
    chunk_elements: int = 16384
    """elements a chunk should hold: about 10 us of streaming, 20 barriers' worth"""
    loop_chunks: int = 4
    """chunks of a loop nest at least, so that threads have something to share"""
    one_chunk: int = 1024
    """elements that are one chunk: less than a microsecond"""
    column: int = 128
    """width of a column block: 8 AVX-512 vectors of f32"""
    long_column: int = 1024
    """the same of a nest that is folded in parts: rows of 4 KiB, along which memory is read"""
    vectors: bool = True
    """whether a position walks the contiguous axis of its nest in vectors, and lays out blocks by
    tiles; else all axes are parallel, and a position computes one element"""
    unrolled: int = 16
    """elements up to which a reduction unrolls: a window of a pooling"""
    in_parts: int = 65536
    """elements from which a reduction to few results is folded in parts by several threads"""
    parts: int = 64
    """parts of such a reduction at most: one for each core of a large machine"""
    merged: int = 64
    """parts of one result at most: they are merged one after the other"""
    row: int = 1
    """threads that fold a row together which lies along memory"""
    run: int = 512
    """elements that a sum adds up in vector lanes before it goes on to a total of more precision"""
    chain: int = 32
    """additions one after the other before that"""
    lanes: int = 16
    """elements at a time of a sum that carries its rounding errors: they keep the adders busy while
    the first is on its way through memory"""

    fused: bool = False
    """whether plain loops add products by fma, as tiles do"""

    def __post_init__(self) -> None:
        small = [f.name for f in fields(self)
                 if getattr(self, f.name) < (0 if f.name in MAY_BE_0 else 1)]
        if small:
            raise ValueError(f"limits {', '.join(small)} must be at least 1")


DEFAULT = Limits()
