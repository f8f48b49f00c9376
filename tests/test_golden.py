"""Golden texts: what the compiler makes of every bundled model and of four named programs.

`pytest tests/test_golden.py --update-golden` writes them anew; a change of the compiler that is
meant to change no kernel shows that it did not.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import dlc
from dlc import f32, i32, nn, optim
from dlc.backend.assemble import assembled
from dlc.compiler import Compiled
from dlc.init import zeros
from dlc.ir.graph import Graph, Kind
from dlc.program import Entry, Program
from dlc.reference.text import print_graph

Golden = Callable[[str, str], None]
MODELS = ("linear_regression", "logistic_regression", "xor", "mlp", "lenet")


@pytest.fixture(autouse=True)
def one_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of the widest vectors, whatever this machine has."""
    monkeypatch.setenv("DLC_CPU", "avx512")


def compile_model(name: str) -> Compiled:
    module = importlib.import_module(f"dlc.models.{name}")
    (task,) = (v for v in vars(module).values() if isinstance(v, dlc.Task))
    return dlc.compile(task)


def launch_table(program: Program, entry: Entry) -> str:
    """A line for each launch: barrier, arithmetic, bytes, and its kernels with their chunks."""
    lines = [f"{entry.name}: {len(entry.launches)} launches"]
    for number, launch in enumerate(entry.launches):
        stages = " | ".join(", ".join(
            f"{program.kernels[s.kernel].name} x{s.chunks}" for s in stage)
            for stage in launch.stages)
        wait = "barrier" if launch.barrier else "-"
        lines.append(f"{number:3} {wait:8} {launch.flops:>10} flops {launch.bytes:>9} B  {stages}")
    return "\n".join(lines) + "\n"


def launches_and_memory(program: Program) -> str:
    tables = "\n".join(launch_table(program, e) for e in program.entries.values())
    kept = sum(p.type.bytes for p in program.persistent)
    return (f"{tables}\n{len(program.kernels)} kernels, arena {program.arena_bytes} bytes, "
            f"parameters and state {kept}\n")


def kernel_texts(program: Program) -> str:
    return "\n\n".join(k.text for k in program.kernels)


@pytest.mark.parametrize("name", MODELS)
def test_model(name: str, golden: Golden) -> None:
    compiled = compile_model(name)
    golden(f"{name}/launches.txt", launches_and_memory(compiled.program))
    golden(f"{name}/kernels.py", kernel_texts(compiled.program))
    for entry, records in compiled.records.items():
        golden(f"{name}/{entry}.input.txt", print_graph(records[0].graph))
        golden(f"{name}/{entry}.optimized.txt", compiled.program.entries[entry].graph)
    passes = "\n".join(f"{entry:12} {r.name:16} {r.nodes:5} nodes"
                       for entry, records in compiled.records.items() for r in records)
    golden(f"{name}/passes.txt", passes + "\n")


def test_lenet_after_each_pass(golden: Golden) -> None:
    """What each pass changes in LeNet's step, as a diff."""
    records = compile_model("lenet").records["train"]
    for number, (before, after) in enumerate(pairwise(records), 1):
        lines = difflib.unified_diff(print_graph(before.graph).splitlines(),
                                     print_graph(after.graph).splitlines(),
                                     before.name, after.name, n=1, lineterm="")
        golden(f"lenet/passes/{number}_{after.name}.diff", "\n".join(lines) + "\n")


# --- four named programs, before -> after, with bytes ---------------------------------------------


def before_and_after(graph: Graph) -> tuple[str, Program]:
    """The graph as written, optimized, its kernels and launches; and the bytes that each moves."""
    compiled = dlc.compile(graph)
    program = compiled.program
    before = compiled.records["main"][1].graph  # differentiated, one operator after the other
    plain = sum(n.type.bytes + sum(a.type.bytes for a in n.args)
                for n in before.nodes() if n.args and n.op.kind is not Kind.VIEW)
    moved = sum(launch.bytes for e in program.entries.values() for launch in e.launches)
    parts = [
        f"# before: {len(before.nodes())} nodes, {plain} bytes read and written one by one",
        print_graph(before),
        f"# after: {moved} bytes read and written",
        *(e.graph for e in program.entries.values()),
        launches_and_memory(program), kernel_texts(program)]
    return "\n".join(parts), program


def launches(program: Program) -> int:
    return sum(len(e.launches) for e in program.entries.values())


def test_matmul_bias_and_activation_in_one_launch(golden: Golden) -> None:
    def layer(x: Any, w: Any, b: Any) -> Any:
        return dlc.tanh(x @ w + b)

    text, program = before_and_after(dlc.trace(layer, f32[64, 784], f32[784, 128], f32[128]))
    assert [x.name for x in program.entries["main"].flat] == ["pack", "matmul_tanh"]
    golden("named/matmul_bias_activation.txt", text)


def test_softmax_cross_entropy_in_two_passes(golden: Golden) -> None:
    """One launch walks a row twice: maximum, sum of exponentials; then loss and gradient."""
    def loss_and_gradient(z: Any, label: Any) -> Any:
        return dlc.value_and_grad(nn.cross_entropy, wrt=0)(z, label)

    text, program = before_and_after(dlc.trace(loss_and_gradient, f32[64, 1000], i32[64]))
    (over_rows,) = [k for k in program.kernels if "exp_f32" in k.text]
    loops = [line for line in over_rows.text.splitlines() if "range(1000)" in line]
    assert len(loops) <= 2
    golden("named/softmax_cross_entropy.txt", text)


def test_batch_norm_backward(golden: Golden) -> None:
    def normalized(x: Any, scale: Any, shift: Any) -> Any:
        centred = x - x.mean((0, 2), keepdims=True)
        variance = (centred * centred).mean((0, 2), keepdims=True)
        return centred * dlc.rsqrt(variance + 1e-5) * scale.reshape(1, 32, 1) + shift.reshape(
            1, 32, 1)

    def backward(x: Any, scale: Any, shift: Any, g: Any) -> Any:
        return dlc.vjp(normalized, x, scale, shift)[1](g)

    image = f32[64, 32, 144]
    text, program = before_and_after(dlc.trace(backward, image, f32[32], f32[32], image))
    assert launches(program) <= 2
    golden("named/batch_norm_backward.txt", text)


def test_adam_over_all_parameters_in_one_launch(golden: Golden) -> None:
    """Six parameters of all sizes, their gradients given: one launch updates all in place."""
    sizes = {"conv": f32[6, 1, 5, 5], "conv_bias": f32[6], "dense": f32[784, 128],
             "dense_bias": f32[128], "last": f32[128, 10], "last_bias": f32[10]}
    optimizer = optim.adam(1e-3)

    def step(rate: Any, t: Any, g1: Any, g2: Any, g3: Any, g4: Any, g5: Any, g6: Any) -> Any:
        scalars = optimizer.scalars(rate, t)
        grads = (g1, g2, g3, g4, g5, g6)
        for (name, type_), g in zip(sizes.items(), grads, strict=True):
            old = dlc.state(name, type_, zeros)
            dlc.update_state(old, optimizer.rule(optim.Slot("adam", name, old, g), *scalars))
        return t

    graph = dlc.trace(step, f32[()], f32[()], *sizes.values())
    text, program = before_and_after(graph)
    assert len(program.persistent) == 3 * len(sizes)
    assert launches(program) == 1
    golden("named/adam.txt", text)


def test_golden_texts_stay_small() -> None:
    folder = Path(__file__).parent / "golden"
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) < 1_000_000


def built(name: str) -> Program:
    """The model's program, made anew: not one that was kept."""
    graphs = {e: r[-1].graph for e, r in compile_model(name).records.items()}
    return assembled(name, graphs, "cpu", "avx512")[0]


def test_texts_do_not_depend_on_the_run() -> None:
    """Two compilations in one process give the same program, byte for byte."""
    assert built("lenet") == built("lenet")


def test_programs_do_not_depend_on_the_thread_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks and the order of sums are the same for one thread and for many: so are the bits."""
    found = []
    for threads in ("1", "2", "7"):
        monkeypatch.setenv("DLC_THREADS", threads)
        found.append(built("lenet"))
    assert found[0] == found[1] == found[2]
