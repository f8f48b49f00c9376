"""Four elements that lie side by side to a thread: they are loaded and stored as one.

    y[chunk] = exp_f32(x[chunk])    ->      y[chunk * 4] = exp_f32(x[chunk * 4])
                                            y[chunk * 4 + 1] = exp_f32(x[chunk * 4 + 1])
                                            ...

Where a buffer is aligned to 16 bytes wherever the kernel is launched, LLVM makes one access of the
four (runtime/cuda/ptx.py says which are). Each element is computed as before: the same bits.
"""

from __future__ import annotations

from dlc.backend.cuda.jam import LEAST_THREADS, in_turns, moved
from dlc.backend.ir import Function, Let, Load, Store
from dlc.backend.ir.index import Var, sum_of
from dlc.backend.ir.names import Names
from dlc.backend.ir.walks import expressions, names_of
from dlc.backend.ir.whole import with_scalars

ELEMENTS = 4
"""Elements of a thread: 16 bytes of 4, the widest access."""


def widened(kernel: Function, threads: int) -> tuple[Function, int]:
    """The kernel with four elements to a thread, where its elements lie side by side and threads
    are enough; else as it is. How many threads there are."""
    count, rest = divmod(threads, ELEMENTS)
    if rest or count < LEAST_THREADS or not is_contiguous(kernel):
        return kernel, threads
    names = Names(names_of(kernel))
    given = {s.name for s in kernel.body if isinstance(s, Let)}
    copies = []
    for number in range(ELEMENTS):
        place = sum_of(Var("chunk", 0, count - 1)) * ELEMENTS + number
        table = {n: names.new(n) for n in sorted(given)} if number else {}
        copies.append(moved(kernel.body, place, table))
    body = in_turns(copies)
    return (kernel, threads) if body is None else (
        Function(kernel.name, kernel.params, kernel.doc, tuple(with_scalars(body)),
                 kernel.helpers, kernel.raises, kernel.chunked), count)


def is_contiguous(kernel: Function) -> bool:
    """Whether a kernel is values and stores, every one at the thread's own number, and loads from
    there too."""
    own = sum_of(Var("chunk", 0, 1))
    if not all(isinstance(s, Let) or (isinstance(s, Store) and s.index == own)
               for s in kernel.body):
        return False
    return any(e.index == own for s in kernel.body for e in expressions(s) if isinstance(e, Load))
