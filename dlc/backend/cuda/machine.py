"""A CUDA device as lowering sees it: what a thread takes, and when work is cut into parts."""

from __future__ import annotations

from dlc.backend.cpu.isa import Isa
from dlc.backend.cpu.limits import Limits

# The axes of a nest are all parallel (`vectors` False), and a scattered column is one element wide.
# Products have tiles of their own (tiles.py): below 64 x 64 x 64 of them a step of a tile would
# mostly wait for memory; `cores` are the processors of an H200, each of which should have a tile.
# A sum of fewer results than 32,768 threads, or rows than blocks of 128, is folded in parts.
# 16 bytes are the widest access of a thread, 255 its registers.
CUDA = Isa("cuda", 16, 255, limits=Limits(
    vectors=False, column=1, plain_products=1 << 18, cores=132, one_chunk=1, chunk_elements=256,
    loop_chunks=32768, parts=65536, merged=512, row=128, run=32, fused=True))
