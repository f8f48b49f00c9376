"""SIMD tiles as LLVM IR: the micro-kernels that kernel texts call by name.

A tile's name says everything: kind, element type, and the block of C that it computes, as in
`gemm_f32_14x32`. The instruction set chooses block and vector width (`gemm_block`), so kernel
texts carry tile names that the lowering asked for, never widths of their own.

    gemm_T_RxC(a, b, ldb, k, c, ldc, rows, add)      C[rows, C] = A @ B, or += where add != 0;
                                                     rows past `rows`, below R, hold nothing
    taps_T_RxC(a, b, table, k, c, ldc, rows, add)    the same, row k of B at b + table[k]
    dots_T_RxC(a, lda, b, table, k, repeat, step_a, step_b, c, ldc)
                                                     C[R, C] = rows of A times shifted runs of B
    transpose_T(dst, ldd, src, lds, rows, cols)      dst[j, i] = src[i, j]
    copy_T(dst, ldd, src, lds, rows, cols)           dst[i, j] = src[i, j]

The scheme of gemm (register blocking over packed panels) is Goto and van de Geijn, "Anatomy of
High-Performance Matrix Multiplication", TOMS 34(3), 2008. docs/design/contractions.md has figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from llvmlite import ir

from dlc.backend.cpu.isa import ISAS
from dlc.backend.cpu.tile_writer import I32, I64, TileWriter, number
from dlc.ir.types import dtype
from dlc.program import TileText

WIDE = 256  # bytes of a row that are copied at a time: four cache lines, 64 columns of f32
MASKED = 64  # bytes of the vectors that have masks: AVX-512's


class TileError(KeyError):
    """A name that is not a tile's."""


_NAME = re.compile(r"(gemm|taps|dots|transpose|copy)_(f32|f64)(?:_([1-9]\d*)x([1-9]\d*))?")


@lru_cache(maxsize=256)
def tile(name: str, isa: str) -> TileText:
    """The tile called `name` for the instruction set `isa`: LLVM IR, signature, Python body.

    Raises TileError when the name is not a tile's or the block does not divide into vectors.
    """
    match = _NAME.fullmatch(name)
    if match is None or (match[3] is None) != (match[1] in ("transpose", "copy")):
        raise TileError(f"{name!r} is not a tile: names are like gemm_f32_14x32 or transpose_f32")
    if isa not in ISAS:
        raise TileError(f"{isa!r} is not an instruction set of dlc; there are {', '.join(ISAS)}")
    kind, lanes = dtype(match[2]), ISAS[isa].lanes(dtype(match[2]))
    block = (int(match[3] or 0), int(match[4] or 0))
    if match[1] in ("gemm", "taps") and block[1] % lanes:
        raise TileError(f"{name}: {block[1]} columns are not a multiple of {lanes} lanes")
    make, params, plain = _FAMILIES[match[1]]
    text = make(TileWriter(name, params, kind, lanes), *block)
    pointer = f"{kind.name}*"
    types = tuple({"T*": pointer}.get(p, p) for _, p in params)
    body = plain.format(name=name, params=", ".join(n for n, _ in params), R=block[0], C=block[1])
    return TileText(name, text, types, "void", body)


def parameter_names(name: str) -> tuple[str, ...]:
    """The names of a tile's parameters, in order."""
    return tuple(label for label, _ in _FAMILIES[name.partition("_")[0]][1])


# ---- gemm and taps: a block of C in registers --------------------------------------------------


def _row_counts(block_rows: int) -> list[int]:
    """Row counts with a loop of their own: a narrow last panel should not pay for a full one.

    Fewer than 4 rows would not be faster: their sums are too few to hide the latency of fma.
    """
    return [block_rows, *(r for r in (8, 4) if r < block_rows)]


def _gemm(w: TileWriter, block_rows: int, block_cols: int) -> str:
    return _blocks(w, block_rows, block_cols, lambda b, ldb, k: w.at(b, w.b.mul(k, ldb)))


def _taps(w: TileWriter, block_rows: int, block_cols: int) -> str:
    return _blocks(w, block_rows, block_cols, lambda b, table, k: w.at(b, w.word(table, k)))


def _blocks(w: TileWriter, block_rows: int, block_cols: int, row_of_b: Callable[..., Any]) -> str:
    """One loop per row count, chosen by the argument `rows`."""
    a, b, where, k, c, ldc, rows, add = w.args
    counts = _row_counts(block_rows)
    for count, smaller in zip(counts, [*counts[1:], 0], strict=True):
        other = w.function.append_basic_block("narrower") if smaller else None
        if other is not None:
            fits = w.function.append_basic_block(f"rows{count}")
            w.b.cbranch(w.b.icmp_signed(">", rows, number(smaller)), fits, other)
            w.b = ir.IRBuilder(fits)
        acc = _multiply(w, (a, block_rows, count), (b, where, block_cols), k, row_of_b)
        _write(w, acc, c, ldc, add)
        if other is not None:
            w.b = ir.IRBuilder(other)
    return w.finish()


def _multiply(w: TileWriter, left: Any, right: Any, k: Any, row_of_b: Callable[..., Any]) -> Any:
    """sum_k A[k, :count] outer B[k, :]: the rows of the sum, each a list of vectors."""
    (a, stride, count), (b, where, cols) = left, right
    vectors = cols // w.lanes
    zero = ir.Constant(w.vector, None)
    sums = [zero] * (count * vectors)
    with w.loop(k, 1, sums) as (i, acc):
        row = row_of_b(b, where, i)
        bs = [w.load(w.at(row, j * w.lanes)) for j in range(vectors)]
        column = w.at(a, i, stride)
        for r in range(count):
            x = w.broadcast(w.at(column, r))
            for j in range(vectors):
                acc[r * vectors + j] = w.fma(x, bs[j], acc[r * vectors + j])
    return [acc[r * vectors:(r + 1) * vectors] for r in range(count)]


def _write(w: TileWriter, acc: Any, c: Any, ldc: Any, add: Any) -> None:
    """C = acc, or C += acc where `add` is not zero."""
    with w.b.if_else(w.b.icmp_signed("!=", add, number(0))) as (then, otherwise):
        for branch, adds in ((then, True), (otherwise, False)):
            with branch:
                for r, vectors in enumerate(acc):
                    row = w.at(c, ldc, r)
                    for j, value in enumerate(vectors):
                        to = w.at(row, j * w.lanes)
                        w.store(w.b.fadd(w.load(to), value) if adds else value, to)
    w.b.ret_void()


# ---- dots: vectors along k ---------------------------------------------------------------------


def _dots(w: TileWriter, rows: int, cols: int) -> str:
    """C[r, j] = sum over `repeat` runs of `k` elements of A[r] * B[table[j]].

    Both operands are contiguous along k: nothing is packed, each lane sums every lanes-th element.
    """
    a, lda, b, table, k, repeat, step_a, step_b, c, ldc = w.args
    shifts = [w.word(table, j) for j in range(cols)]
    zero = ir.Constant(w.vector, None)
    with w.loop(repeat, 1, [zero] * (rows * cols)) as (n, outer):
        run_a, run_b = w.at(a, w.b.mul(n, step_a)), w.at(b, w.b.mul(n, step_b))
        starts_a = [w.at(run_a, lda, r) for r in range(rows)]
        starts_b = [w.at(run_b, shift) for shift in shifts]
        with w.loop(k, w.lanes, outer) as (i, acc):
            xs = [w.load(w.at(p, i)) for p in starts_a]
            for j, p in enumerate(starts_b):
                y = w.load(w.at(p, i))
                for r in range(rows):
                    acc[r * cols + j] = w.fma(xs[r], y, acc[r * cols + j])
        outer[:] = acc
    for r in range(rows):
        for j in range(cols):
            to = w.at(w.at(c, ldc, r), j)
            w.b.store(_lane_sum(w, outer[r * cols + j]), to, align=w.size)
    return w.finish()


def _lane_sum(w: TileWriter, value: Any) -> Any:
    """The sum of all lanes, halves added to halves: a fixed order."""
    width = w.lanes
    while width > 1:
        width //= 2
        order = [ir.Constant(I32, (i + width) if i < width else 0) for i in range(w.lanes)]
        mask = ir.Constant(ir.VectorType(I32, w.lanes), order)
        value = w.b.fadd(value, w.b.shuffle_vector(value, value, mask))
    return w.b.extract_element(value, ir.Constant(I32, 0))


# ---- transpose and copy ------------------------------------------------------------------------


def _transpose(w: TileWriter, _rows: int, _cols: int) -> str:
    """Blocks of lanes x lanes through log2(lanes) rounds of shuffles. Where fewer rows are left,
    the last one stands in for those that are missing."""
    dst, ldd, src, lds, rows, cols = w.args
    last = w.b.sub(rows, number(1))
    with w.loop(rows, w.lanes, []) as (i, _):
        edge = Edge(w, w.b.sub(rows, i))
        with w.loop(cols, w.lanes, []) as (j, _):
            right = Edge(w, w.b.sub(cols, j))
            places = []
            for r in range(w.lanes):
                row = w.b.add(i, number(r))
                row = w.b.select(w.b.icmp_signed("<", row, rows), row, last)
                places.append(w.at(w.at(src, w.b.mul(row, lds)), j))
            to = w.at(w.at(dst, w.b.mul(j, ldd)), i)
            columns = _transposed(w, right.loads(places))
            more = w.b.icmp_signed(">", right.left, number(w.lanes))
            plain = w.b.or_(w.b.and_(edge.whole, right.whole), w.b.and_(edge.tight(ldd), more))
            with w.b.if_else(plain) as (then, otherwise):
                with then:
                    for r, column in enumerate(columns):
                        w.store(column, w.at(to, ldd, r))
                with otherwise:
                    for r, column in enumerate(columns):
                        with w.b.if_then(w.b.icmp_signed(">", right.left, number(r))):
                            edge.store(column, w.at(to, ldd, r))
    return w.finish()


def _copy(w: TileWriter, _rows: int, _cols: int) -> str:
    """Row by row where whole cache lines of it count; of what is left, a column of vectors after
    the other, so that it is known once how many lanes count."""
    dst, ldd, src, lds, rows, cols = w.args
    wide = WIDE // (w.lanes * w.size)
    whole = w.b.and_(cols, number(-wide * w.lanes))
    with (w.when(w.b.icmp_signed(">", whole, number(0))),
          w.loop(whole, wide * w.lanes, []) as (j, _), w.loop(rows, 1, []) as (i, _)):
        source, to = (w.at(w.at(p, w.b.mul(i, step)), j) for p, step in ((src, lds), (dst, ldd)))
        for v in range(wide):
            w.store(w.load(w.at(source, v * w.lanes)), w.at(to, v * w.lanes))
    left = w.b.sub(cols, whole)
    with w.when(w.b.icmp_signed(">", left, number(0))):
        _copy_columns(w, (w.at(dst, whole), ldd), (w.at(src, whole), lds), rows, left)
    return w.finish()


def _copy_columns(w: TileWriter, to: Any, source: Any, rows: Any, cols: Any) -> None:
    """Copy from the place and step of `source` to those of `to`, vector after vector of a row.

    Where rows follow without a gap, all but the last one are stored as whole vectors (`tight`).
    """
    (dst, ldd), (src, lds) = to, source
    with w.loop(cols, w.lanes, []) as (j, _):
        edge = Edge(w, w.b.sub(cols, j))
        plain = w.b.select(w.b.or_(edge.tight(ldd), edge.whole), w.b.sub(rows, number(1)),
                           number(0))
        with w.when(w.b.icmp_signed(">", plain, number(0))), w.loop(plain, 1, []) as (i, _):
            (value,) = edge.loads([w.at(w.at(src, w.b.mul(i, lds)), j)])
            w.store(value, w.at(w.at(dst, w.b.mul(i, ldd)), j))
        with w.loop(w.b.sub(rows, plain), 1, []) as (i, _):
            row = w.b.add(i, plain)
            (value,) = edge.loads([w.at(w.at(src, w.b.mul(row, lds)), j)])
            edge.store(value, w.at(w.at(dst, w.b.mul(row, ldd)), j))


class Edge:
    """Vectors of which the first `left` lanes count; all of them where that is more.

    Where registers have no masks, a part of a vector is stored in halves, quarters, ...: masked
    stores of AVX2 take some twenty cycles on Zen, and those of baseline vectors a branch a lane.
    """

    def __init__(self, w: TileWriter, left: Any) -> None:
        self.w, self.left = w, left
        self.whole = w.b.icmp_signed(">=", left, number(w.lanes))
        self.live = _live(w, left)

    def tight(self, step: Any) -> Any:
        """Whether rows that are `step` apart follow each other without a gap, two of which hold a
        vector, as in a panel: what a whole vector has too much is where the next row comes."""
        b = self.w.b
        return b.and_(b.icmp_signed("==", step, self.left),
                      b.icmp_signed(">=", b.add(step, step), number(self.w.lanes)))

    def loads(self, places: Sequence[Any]) -> list[Any]:
        """The vector at each place; of the lanes that don't count nothing is read."""
        w, found = self.w, []
        with w.b.if_else(self.whole) as (then, otherwise):
            with then:
                plain = [w.load(place) for place in places]
                first = w.b.block
            with otherwise:
                masked = [self._masked_load(place) for place in places]
                second = w.b.block
        for a, b in zip(plain, masked, strict=True):
            value = w.b.phi(w.vector)
            value.add_incoming(a, first)
            value.add_incoming(b, second)
            found.append(value)
        return found

    def store(self, value: Any, to: Any) -> None:
        """Write the lanes that count."""
        w = self.w
        if w.lanes * w.size == MASKED:
            operands = [value, to, ir.Constant(I32, w.size), self.live]
            w.call(f"llvm.masked.store.{w.suffix}.p0", ir.VoidType(), operands)
            return
        with w.b.if_else(self.whole) as (then, otherwise):
            with then:
                w.store(value, to)
            with otherwise:
                self._store_parts(value, to)

    def _store_parts(self, value: Any, to: Any) -> None:
        """Half a vector where so many lanes count, then half of that, ...: the rest moves down."""
        w, size = self.w, self.w.lanes
        while size > 1:
            size //= 2
            part = w.b.icmp_signed("!=", w.b.and_(self.left, number(size)), number(0))
            with w.b.if_then(part):
                w.b.store(w.b.shuffle_vector(value, value, _mask(list(range(size)))), to,
                          align=w.size)
            down = [min(i + size, w.lanes - 1) for i in range(w.lanes)]
            value = w.b.select(part, w.b.shuffle_vector(value, value, _mask(down)), value)
            to = w.b.select(part, w.at(to, size), to)

    def _masked_load(self, place: Any) -> Any:
        w = self.w
        operands = [place, ir.Constant(I32, w.size), self.live, ir.Constant(w.vector, None)]
        return w.call(f"llvm.masked.load.{w.suffix}.p0", w.vector, operands)


def _transposed(w: TileWriter, block: list[Any]) -> list[Any]:
    """Exchange ever larger squares: after the round of `width`, blocks of 2*width are done."""
    width = 1
    while width < w.lanes:
        low = [i + w.lanes - width if i & width else i for i in range(w.lanes)]
        high = [i + w.lanes if i & width else i + width for i in range(w.lanes)]
        result = list(block)
        for r in range(w.lanes):
            if not r & width:
                pair = block[r], block[r + width]
                result[r] = w.b.shuffle_vector(*pair, _mask(low))
                result[r + width] = w.b.shuffle_vector(*pair, _mask(high))
        block, width = result, width * 2
    return block


def _mask(order: list[int]) -> Any:
    return ir.Constant(ir.VectorType(I32, len(order)), [ir.Constant(I32, i) for i in order])


def _live(w: TileWriter, left: Any) -> Any:
    """Lane l is on where l < left."""
    wide = ir.VectorType(I64, w.lanes)
    none = ir.Constant(wide, ir.Undefined)
    many = w.b.insert_element(none, left, ir.Constant(I32, 0))
    many = w.b.shuffle_vector(many, none, ir.Constant(ir.VectorType(I32, w.lanes), None))
    lanes = ir.Constant(wide, [number(i) for i in range(w.lanes)])
    return w.b.icmp_signed("<", lanes, many)


# ---- signatures and plain Python bodies --------------------------------------------------------

_PLAIN_GEMM = '''\
def {name}({params}):
    """C[:rows, :{C}] (+)= A.T @ B with A packed as [k, {R}]."""
    left = a[:k * {R}].reshape(k, {R})[:, :rows]
    for i in range(rows):
        total = sum(left[j, i] * b[j * ldb:j * ldb + {C}] for j in range(k))
        c[i * ldc:i * ldc + {C}] = total + (c[i * ldc:i * ldc + {C}] if add else 0)
'''

_PLAIN_TAPS = _PLAIN_GEMM.replace("b[j * ldb:j * ldb + {C}]",
                                  "b[int(table[j]):int(table[j]) + {C}]")

_PLAIN_DOTS = '''\
def {name}({params}):
    """C[r, j] = sum over runs n of A[n, r] . B[n, table[j]], each run k elements long."""
    for r in range({R}):
        for j in range({C}):
            left = [n * step_a + r * lda for n in range(repeat)]
            right = [n * step_b + int(table[j]) for n in range(repeat)]
            c[r * ldc + j] = sum(a[u:u + k] @ b[v:v + k] for u, v in zip(left, right))
'''

_PLAIN_TRANSPOSE = '''\
def {name}({params}):
    """dst[j, i] = src[i, j] for i < rows, j < cols."""
    for i in range(rows):
        for j in range(cols):
            dst[j * ldd + i] = src[i * lds + j]
'''

_PLAIN_COPY = _PLAIN_TRANSPOSE.replace("dst[j, i]", "dst[i, j]").replace(
    "j * ldd + i", "i * ldd + j")


def _params(text: str) -> tuple[tuple[str, str], ...]:
    """"a:T* k:i64" -> (("a", "T*"), ("k", "i64"))"""
    return tuple((p.split(":")[0], p.split(":")[1]) for p in text.split())


_FAMILIES: dict[str, tuple[Callable[[TileWriter, int, int], str], Any, str]] = {
    "gemm": (_gemm, _params("a:T* b:T* ldb:i64 k:i64 c:T* ldc:i64 rows:i64 add:i64"),
             _PLAIN_GEMM),
    "taps": (_taps, _params("a:T* b:T* table:i64* k:i64 c:T* ldc:i64 rows:i64 add:i64"),
             _PLAIN_TAPS),
    "dots": (_dots, _params("a:T* lda:i64 b:T* table:i64* k:i64 repeat:i64 step_a:i64 step_b:i64 "
                            "c:T* ldc:i64"), _PLAIN_DOTS),
    "transpose": (_transpose, _params("dst:T* ldd:i64 src:T* lds:i64 rows:i64 cols:i64"),
                  _PLAIN_TRANSPOSE),
    "copy": (_copy, _params("dst:T* ldd:i64 src:T* lds:i64 rows:i64 cols:i64"), _PLAIN_COPY),
}
