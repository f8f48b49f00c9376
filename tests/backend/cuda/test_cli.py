"""`--target cuda` and `dlc devices` on a machine without a driver, and the script for one with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dlc import f32
from dlc.backend.cuda import cost
from dlc.cli import main
from dlc.program import Branch, Launch, Loop, Slot
from dlc.runtime.cuda import devices, machine_code
from tests.cuda.cases import cases
from tests.gpu import run


@pytest.fixture(autouse=True)
def no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is one."""
    monkeypatch.setattr(devices, "DRIVER", "libno-such-driver.so.1")


def test_training_says_in_one_line_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "xor", "--target", "cuda"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert re.match(r"dlc: device 'cuda': there is no CUDA driver here .*; install NVIDIA's driver",
                    told.err)


def test_devices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    cpu, cuda = capsys.readouterr().out.splitlines()
    assert re.match(r"cpu   (avx512|avx2|neon|scalar), \d+ cores?", cpu)
    assert cuda.startswith("cuda  none: there is no CUDA driver here")


def test_kernels_with_ptx(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["show", "xor", "--target", "cuda", "--kernels", "--ptx", "--body", "matmul_tanh"]
    assert main([*asked, "--arch", "sm_80"]) == 0
    shown = capsys.readouterr().out
    assert "fused_matmul_tanh in 32 threads" in shown and ".target sm_80" in shown
    # registers where NVIDIA's linker is installed, else how to install it
    assert re.search(r"sm_80: \d+ registers, 0 B shared|pip install \"dlc\[cuda\]\"", shown)


SASS = """\t.section\t.text.k,"ax",@progbits
k:
.text.k:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
.L_x_1:
        /*0010*/               @P0 BRA `(.L_x_1) ;
        /*0020*/                   NOP ;
.L_x_2:
"""


def test_sass_without_what_a_linker_reads() -> None:
    assert machine_code.instructions(SASS).splitlines() == [
        "k:", "    LDC R1, c[0x0][0x28]", ".L_x_1:", "    @P0 BRA `(.L_x_1)"]


@pytest.mark.parametrize("command", ["show xor --target cuda --kernels --sass",
                                     "inspect xor --target cuda --sass -o {}"])
@pytest.mark.parametrize("there", ["", "lib"])
def test_sass_without_its_programs(command: str, there: str, tmp_path: Path,
                                   monkeypatch: pytest.MonkeyPatch,
                                   capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed or written before it is said what is missing and what installs it."""
    monkeypatch.setattr(machine_code, "installed", lambda pattern: iter(
        (Path("libm.so.6"),) if there and pattern.startswith(there) else ()))
    monkeypatch.setattr(machine_code.shutil, "which", lambda name: None)
    monkeypatch.setattr(machine_code, "assembled", lambda *_: machine_code.MachineCode(
        b"", 1, 0, 0, 0, 0) if there else machine_code.library())
    machine_code.library.cache_clear()
    page = tmp_path / "page.html"
    assert main(command.format(page).split()) == 2
    machine_code.library.cache_clear()
    told = capsys.readouterr()
    what = "SASS needs NVIDIA's disassembler" if there else "machine code needs NVIDIA's linker"
    assert f'{what}: pip install "dlc[cuda]"' in told.err and told.err.count("\n") == 1
    assert "def fused" not in told.out and not page.exists()


def test_cost_ranks_launches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "xor", "--target", "cuda", "--cost", "--gpu", "a100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "xor: batch 4, cuda"
    assert any(re.match(r"  NVIDIA H200: [\d.]+ ns a step at least, 4.8 TB/s", x) for x in lines)
    floors = [float(m[1]) for x in lines if (m := re.match(r" *([\d.]+) ns +[\d.]+ +1 ", x))]
    assert len(floors) >= 3 and floors == sorted(floors, reverse=True) and floors[0] > 0


def test_a_floor_is_of_memory_or_of_arithmetic() -> None:
    """64 MiB at 4.8 TB/s; 10 Tflop at 67 Tflop/s; a loop counts its rounds, a branch its less."""
    peak = cost.peaks()["h200"]
    moves, adds = Launch("m", (), (), 10, 1 << 26), Launch("a", (), (), 10**13, 1 << 20)
    assert cost.Cost(1, moves, 1).seconds(peak) == (1 << 26) / 4.8e12
    assert cost.Cost(1, adds, 2).seconds(peak) == 2 * 1e13 / 67e12
    assert [cost.Cost(1, x, 1).bound(peak) for x in (moves, adds)] == ["memory", "arithmetic"]
    steps = (Loop("l", 3, (moves,)), Branch("b", Slot(0), (moves,), (adds,)))
    assert cost.floor(steps, peak) == pytest.approx(4 * (1 << 26) / 4.8e12)
    assert cost.has_branch(steps) and not cost.has_branch(steps[:1])


@pytest.mark.parametrize(("asked", "told"), [
    ("show xor --cost", "--cost is for --target cuda"),
    ("show xor --kernels --ptx", "--ptx is for --target cuda"),
    ("show xor --kernels --sass", "--sass is for --target cuda"),
    ("inspect xor --sass", "--sass is for --target cuda"),
    ("show xor --target cuda --ptx", "give --kernels too"),
    ("show xor --target cuda --sass", "give --kernels too"),
    ("show xor --target cuda --kernels --ptx --arch sm_10", "invalid choice"),
])
def test_what_does_not_fit(asked: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked.split()) == 2
    assert told in capsys.readouterr().err


def test_the_script_for_a_gpu_runs(capsys: pytest.CaptureFixture[str]) -> None:
    def small(x: f32[40, 30]) -> Any:
        return x * 2.0

    assert run.main(["--device", "emulate"], cases()[:2], ["xor"], [small]) == 0
    shown = capsys.readouterr().out
    assert "2 programs on emulate, 0 disagree" in shown and "ms a step" in shown
    assert re.search(r"small +[\d.]+ ms, +[\d.]+ GB/s, .* times the floor of an H200", shown)
    assert run.main(["--device", "cuda"], cases()[:1], [], []) == 1
    assert "there is no CUDA driver here" in capsys.readouterr().out
