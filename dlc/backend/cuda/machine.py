"""A CUDA device as lowering sees it: what a thread takes, and when work is cut into parts."""

from __future__ import annotations

from dlc.backend.cpu.isa import Isa
from dlc.backend.cpu.limits import Limits

# The axes of a nest are all parallel (`vectors` False), a scattered column is one element wide, and
# no product is too large for plain loops: tiles are the CPU's. 16 bytes are the widest access of a
# thread, 255 its registers.
CUDA = Isa("cuda", 16, 255, limits=Limits(
    vectors=False, column=1, plain_products=1 << 62, one_chunk=1, chunk_elements=1024,
    loop_chunks=2048, parts=512, run=32, fused=True))
