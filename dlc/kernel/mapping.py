"""How the parallel axes of a kernel are cut into chunks, for the CPU.

What a kernel computes is emitted over axes whose positions may run in any order; how many of them a
chunk takes is decided here alone, from extents and the instruction set, never from the number of
threads: results are the same on any number. Small work has few chunks, each worth a thread's while;
large work has enough for the cores of a large machine (`limits.cores`).
"""

from __future__ import annotations

from dlc.kernel.limits import Limits

LEAST_PANELS = 8  # of a chunk of large products: each packs its columns of B for itself


def rows_per_chunk(rows: int, work: int, limits: Limits) -> int:
    """Positions of the parallel loops in one chunk, each of `work` elements."""
    if rows * work <= limits.one_chunk:
        return rows
    return max(1, min(limits.chunk_elements // work, -(-rows // limits.loop_chunks)))


def contraction_chunks(products: int, limits: Limits) -> int:
    """Chunks that a contraction of so many products should have."""
    return max(limits.chunks, min(limits.cores, products // limits.chunk_products))


def panel_groups(panels: int, others: int, products: int, limits: Limits) -> int:
    """Runs of panels that a contraction is cut into, beside `others` along other axes."""
    few = limits.chunks // max(1, others)
    many = min(contraction_chunks(products, limits) // max(1, others), panels // LEAST_PANELS)
    return max(1, min(panels, max(few, many)))


def panels_per_packing(panels: int, batch: int, elements: int, limits: Limits) -> int:
    """Panels that a chunk packs, of `batch` matrices of `panels` that hold `elements` together."""
    wanted = max(limits.chunks, min(limits.cores, elements // limits.chunk_elements))
    return -(-panels // max(1, wanted // batch))
