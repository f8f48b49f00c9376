"""What a caller, a file or a machine gets wrong: a code and a message, and never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from dlc import DlcError
from dlc.library import build_library
from dlc.runtime.build import features, link
from dlc.runtime.build.package import named
from dlc.runtime.cpu import table_builder
from dlc.runtime.train.checkpoint import read_checkpoint, write_checkpoint
from tests.library import made, networks

pytestmark = pytest.mark.library
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def test_all_misuse_is_answered(dense: Path) -> None:
    """misuse.c: null pointers, sizes, names, dtypes, dead networks, forks, two threads at once."""
    if made.has("cc"):
        misuse = made.program(dense, made.HERE / "misuse.c", "dense")
        assert "0 wrong" in made.run([str(misuse), "initial.safetensors"], dense)


def test_misuse_touches_no_foreign_memory(dense: Path) -> None:
    """The same with the library's own C under AddressSanitizer and UBSan, leaks among it."""
    if made.has("cc"):
        misuse = made.sanitized(dense, made.HERE / "misuse.c", "dense")
        said = made.run([str(misuse), "initial.safetensors"], dense, **SANITIZERS)
        assert "0 wrong" in said


def test_threads_have_no_data_race(dense: Path) -> None:
    """team.c under ThreadSanitizer. Kernels know nothing of it, so the team runs another function.
    """
    if made.has("cc"):
        source = dense / "source"
        parts = [str(p) for end in ("c", "o") for p in source.glob(f"*.{end}")]
        made.run(["cc", "-std=gnu11", "-g", "-O1", "-fsanitize=thread", "-Wno-overlength-strings",
                  f"-I{dense}", f"-I{source}", str(made.HERE / "team.c"), *parts, "-o", "team",
                  "-pthread", "-lm"], dense)
        made.run([str(dense / "team")], dense, TSAN_OPTIONS="halt_on_error=1")


def test_damaged_files_are_refused(dense: Path, tmp_path: Path) -> None:
    """damage.c under the sanitizers: a checkpoint, and plain tensors, whose header no checksum
    covers."""
    if not made.has("cc"):
        return
    arrays = read_checkpoint(dense / "initial.safetensors").arrays
    save_file(dict(arrays), tmp_path / "plain.safetensors")
    damage = made.sanitized(dense, made.HERE / "damage.c", "dense")
    seed = os.environ["FUZZ_SEED"]
    said = made.run([str(damage), seed, "1000", str(dense / "initial.safetensors"),
                     str(tmp_path / "plain.safetensors")], tmp_path, **SANITIZERS)
    refused = int(said.split()[0])
    assert refused > 500, (seed, said)


@pytest.mark.parametrize(("change", "told"), [
    (lambda a: a.pop("dense1.bias"), "has no dense1.bias, which dense needs"),
    (lambda a: a.update(more=np.zeros(3)), "holds more, which dense has not"),
    (lambda a: a.update({"dense1.bias": a["dense1.bias"].astype(np.float64)}),
     "dense1.bias is f64, but dense needs f32"),
    (lambda a: a.update({"dense1.bias": np.zeros((5, 1), np.float32)}),
     "dense1.bias has another shape than dense needs"),
], ids=["missing", "foreign", "dtype", "shape"])
def test_files_that_do_not_fit_are_told(dense: Path, tmp_path: Path, told: str,
                                        change: Callable[[dict[str, Any]], object]) -> None:
    module = made.imported(dense / "dense.py")
    arrays = dict(read_checkpoint(dense / "initial.safetensors").arrays)
    change(arrays)
    save_file(arrays, tmp_path / "wrong.safetensors")
    with module.Network(dense / "initial.safetensors") as net:
        before = net.read("dense1.bias").tobytes()
        with pytest.raises(module.NetworkError, match=told) as error:
            net.load(tmp_path / "wrong.safetensors")
        assert error.value.code == 2 and net.read("dense1.bias").tobytes() == before


@pytest.mark.parametrize(("changes", "told"), [({"model": "other"}, "of another model"),
                                               ({"batch": 4}, "with batch 4, not 8")])
def test_checkpoints_of_others_are_refused(dense: Path, tmp_path: Path, changes: dict[str, Any],
                                           told: str) -> None:
    module = made.imported(dense / "dense.py")
    mine = read_checkpoint(dense / "initial.safetensors")
    other = replace(mine, identity=replace(mine.identity, **changes))
    write_checkpoint(tmp_path / "other.safetensors", other)
    with module.Network() as net, pytest.raises(module.NetworkError, match=told):
        net.load(tmp_path / "other.safetensors")


def test_a_bit_that_changed_is_found(dense: Path, tmp_path: Path) -> None:
    """In the first byte of the data, in the last one, and in what the record says of the step."""
    module = made.imported(dense / "dense.py")
    content = (dense / "initial.safetensors").read_bytes()
    data = 8 + int.from_bytes(content[:8], "little")
    step = content.index(b'step\\": 0') + len('step\\": ')
    with module.Network(dense / "initial.safetensors") as net:
        for place in (data, len(content) - 1, step):
            changed = bytearray(content)
            changed[place] ^= 1
            (tmp_path / "changed.safetensors").write_bytes(changed)
            with pytest.raises(module.NetworkError, match="do not match their checksum"):
                net.load(tmp_path / "changed.safetensors")


def test_a_failed_check_leaves_the_values(dense: Path) -> None:
    module = made.imported(dense / "dense.py")
    image, label = made.rows_of(dense)
    with module.Network(dense / "initial.safetensors") as net:
        net.step(image=image[:8], label=label[:8])
        before = {name: net.read(name).tobytes() for name in net.values}
        bad = label[:8].copy()
        bad[2] = -1
        with pytest.raises(module.NetworkError, match=r"step: one_hot .* networks.py:\d+$") as one:
            net.step(image=image[:8], label=bad)
        with pytest.raises(module.NetworkError, match="step: the loss is not finite") as other:
            net.step(image=np.full_like(image[:8], np.nan), label=label[:8])
        assert one.value.code == other.value.code == 6 and net.position.step == 1
        assert before == {name: net.read(name).tobytes() for name in net.values}


def test_valgrind_finds_nothing(dense: Path) -> None:
    """Valgrind knows no AVX-512: the library takes kernels for AVX2 where it has them."""
    if not (made.has("cc") and made.has("valgrind")):
        return
    train = made.program(dense, dense / "train.c", "dense")
    made.run(["valgrind", "--quiet", "--error-exitcode=9", "--leak-check=full",
              "--fair-sched=yes", str(train), "initial.safetensors", "1", "valgrind.safetensors",
              "image.rows", "label.rows"], dense)


def test_a_machine_without_the_instructions_is_told(data: str, tmp_path: Path,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """cpuid's leaf 1 has a bit, 16 of ecx, that no CPU sets."""
    missing = features.Feature("flying", 1, 0, features.ECX, 16)
    monkeypatch.setattr("dlc.runtime.build.model.needed", lambda isa: (missing,))
    build_library(networks.tiny(data), tmp_path, train=False)
    module = made.imported(tmp_path / "dense.py")
    with pytest.raises(module.NetworkError, match="use flying, which this machine lacks") as error:
        module.Network()
    assert error.value.code == 4


def test_without_a_compiler_objects_are_left(data: str, tmp_path: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "compiler", lambda: None)
    built = build_library(networks.tiny(data), tmp_path / "out", train=False)
    assert built.library is None and list((tmp_path / "out" / "source").glob("*.o"))
    if made.has("cc"):
        subprocess.run(built.command, shell=True, check=True)
        assert made.imported(tmp_path / "out" / "dense.py").Network().isa


def test_a_short_run_is_the_callers(dense: Path, data: str, tmp_path: Path,
                                    monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have all threads run everything; here none but the caller's does, to the same bits."""
    monkeypatch.setattr(table_builder, "SHORT", 1 << 60)
    build_library(networks.tiny(data), tmp_path, train=False)
    image, _ = made.rows_of(dense)
    found = []
    for folder in (tmp_path, dense):
        module = made.imported(folder / "dense.py")
        with module.Network(dense / "initial.safetensors", threads=3) as net:
            found.append(net.predict(image=image).tobytes())
    assert found[0] == found[1]


def test_zig_links_too(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra dlc[build], where it is installed."""
    monkeypatch.setenv("CC", "")
    monkeypatch.setattr(link.shutil, "which", lambda name: None)
    cc = link.compiler()
    if cc is None:
        print("ziglang is not installed: what needs it was not run")
        return
    assert cc[0] == sys.executable
    built = build_library(networks.tiny(data), tmp_path, train=False)
    assert built.library is not None
    assert made.imported(tmp_path / "dense.py").Network().isa


def test_what_the_compiler_says_is_told(data: str, tmp_path: Path,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "false")
    with pytest.raises(DlcError, match="the C compiler does not link dense"):
        build_library(networks.tiny(data), tmp_path, train=False)


def test_names_of_two_libraries_are_apart() -> None:
    assert named("dlcnet_step(DLCNET_OK)", "gpt") == "gpt_step(GPT_OK)"
