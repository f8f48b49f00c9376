"""What packing and storing a panel of a contraction costs: the scheme, divisions for an index."""

from __future__ import annotations

import pytest

from dlc import f32
from dlc.backend.ir.printer import kernel_of
from dlc.backend.ir.walks import tiles_of
from dlc.ir.graph import Build, building
from dlc.lang.array.convolution import conv
from dlc.ops.contract import matmul
from dlc.ops.convert import broadcast_to
from dlc.ops.leaf import input_
from dlc.ops.view import narrow, reshape, transpose
from tests.backend.contract.test_contract import group


def test_small_images_of_many_channels_are_packed() -> None:
    """A 3x3 convolution of 2x2 images has windows larger than its outputs, as the gradient of a
    kernel has. Sums along 9 elements would leave dots a quarter of what gemm reaches."""
    with building(Build()):
        x, w = input_("x", f32[32, 512, 2, 2]), input_("w", f32[512, 512, 3, 3])
        for isa in ("avx512", "avx2"):
            lowered, _ = group([conv(x, w, padding=1)], [x, w], isa)
            used = {t for stage in lowered.stages for p in stage for t in tiles_of(p.kernel.body)}
            assert any(t.startswith("gemm") for t in used), used


@pytest.mark.parametrize("isa", ["avx512", "avx2"])
def test_heads_of_attention_are_read_and_stored_without_divisions(isa: str) -> None:
    """64 rows are panels of 14 and one of 8, or of 6 and one of 4: that the last one stays below
    64 is known, though 5 * 14 is not."""
    with building(Build()):
        joint, bias = input_("joint", f32[2, 64, 3 * 4 * 64]), input_("bias", f32[3 * 4 * 64])
        g = input_("g", f32[2, 4, 64, 64])
        parts = reshape(joint + broadcast_to(bias, joint.shape), (2, 64, 3, 4, 64))
        q = reshape(narrow(transpose(parts, (2, 0, 3, 4, 1)), 0, 0, 1), (2, 4, 64, 64))
        y = reshape(transpose(matmul(q, g), (0, 3, 1, 2)), (2, 64, 4 * 64))
        lowered, _ = group([y], [joint, bias, g], isa)
    body = [line for stage in lowered.stages for p in stage
            for line in kernel_of(p.kernel).text.splitlines() if "chunk" not in line]
    assert not [line for line in body if "idiv" in line or "imod" in line]
    assert any("row = p * " in line for line in body)
