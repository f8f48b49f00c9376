"""From parallel axes to a grid: every position of a kernel's axes is a thread, or a block of them.

The same kernels over parallel axes that cpu/mapping.py cuts into chunks, cut to the finest:

    for i in parallel(100):                     i = chunk
        y[i] = tanh_f32(x[i])            ->     y[i] = tanh_f32(x[i])

and `chunk` is the number of the thread in its grid. Neighbouring threads differ in the innermost
axis, which the writers make the contiguous one, so a warp reads and writes runs of memory. Where a
position reduces a long run of memory it is a block of threads instead (blocks.py).
"""

from __future__ import annotations

from dataclasses import replace

from dlc.backend.cpu.mapping import chunked, finest
from dlc.backend.cuda.blocks import in_blocks
from dlc.backend.cuda.jam import jammed
from dlc.backend.cuda.tiles import is_block
from dlc.backend.cuda.turn import turned
from dlc.backend.cuda.wide import widened
from dlc.backend.emit.fold import folded, mapped
from dlc.backend.emit.work import Lowered, Work


def on_grid(lowered: Lowered) -> Lowered:
    """The kernels with a thread or a block for each position of their parallel axes."""
    return Lowered(tuple(tuple(map(_threads, stage)) for stage in lowered.stages))


def _threads(work: Work) -> Work:
    """Raises ValueError for a kernel that was written in chunks: only the CPU's tiles are."""
    if is_block(work):
        return work
    if work.whole is None:
        raise ValueError(f"{work.kernel.name} has no form over parallel axes")
    blocks = None
    if not work.as_written:
        blocks = in_blocks(folded(work.whole)) or turned(folded(work.whole))
    if blocks is not None:
        return replace(work, kernel=blocks[0], chunks=blocks[1])
    cut = chunked if work.as_written else mapped
    kernel, threads = cut(work.whole, finest(work.whole))
    if not work.as_written:
        kernel, threads = widened(*jammed(kernel, threads))
    return replace(work, kernel=kernel, chunks=threads)
