"""`dlc show`, `models`, `ops`, `passes`: complete, true to the program, fit for a pipe."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import dlc as language
from dlc.cli import main
from dlc.cli.show_memory import lower_bound
from dlc.cli.source import bundled_models, load_task
from dlc.ir.registry import REGISTRY
from dlc.lang.array.left_out import LEFT_OUT
from dlc.models import CHAPTERS
from dlc.passes import PIPELINE
from dlc.passes.schedule.placing import WORTH
from tests.cli.command import dlc, variables
from tests.networks import SHOWN


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("model", SHOWN)
def test_optimized_graph_passes_and_totals(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    program = language.compile(load_task(model)).program
    text = shown(capsys, "show", model)
    assert program.entries["train"].graph.strip() in text
    assert "@ 0x" in text and "\x1b" not in text
    for step in PIPELINE:
        assert re.search(rf"^{step.__name__} +\d+ +\d+\.\d", text, re.M)
    assert f"{len(program.entries['train'].launches)} launches a step" in text
    assert f"({program.peak_bytes:,} bytes)" in text


@pytest.mark.parametrize("name", ["input", *(step.__name__ for step in PIPELINE)])
def test_graph_after_every_pass_parses_back(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "show", "xor", "--after", name)
    body = text[text.index("def "):]
    assert language.print_graph(language.parse_graph(body)) == body.rstrip("\n") + "\n"


def test_every_launch_with_its_kernels_once(capsys: pytest.CaptureFixture[str]) -> None:
    program = language.compile(load_task("lenet")).program
    entry = program.entries["train"]
    text = shown(capsys, "show", "lenet", "--kernels")
    assert len(re.findall(r"^── \d+/\d+ ", text, re.M)) == len(entry.launches)
    assert sum(launch.name != "pack" for launch in entry.flat) <= 30
    used = {s.kernel for launch in entry.launches for stage in launch.stages for s in stage}
    for index in used:
        assert text.count(program.kernels[index].text.strip("\n")) == 1
    assert text.count("models/lenet.py:") >= len(entry.launches)
    last = text.splitlines()[-1]
    assert f"{len(entry.launches)} launches a step, {len(used)} kernels" in last


@pytest.mark.parametrize("model", SHOWN)
def test_memory_plan_is_whole_and_near_its_bound(model: str,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    program = language.compile(load_task(model)).program
    text = shown(capsys, "show", model, "--memory")
    rows = re.findall(r"^ *0x[0-9a-f]+ +[\d.]+ [KMG]?i?B +(?:always|\d+-\d+)  \w+", text, re.M)
    assert len(rows) == sum(b.entry == "train" for b in program.buffers)
    assert max(map(len, text.splitlines())) <= 80
    bound = max(lower_bound(program, entry) for entry in program.entries.values())
    assert bound <= program.peak_bytes <= max(bound * 1.05, bound + WORTH)  # for a barrier less
    assert f"peak {program.peak_bytes:,} bytes" in text


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m dlc show lenet --kernels | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True,
                          check=True, env=variables({}))
    assert done.stderr == ""
    assert done.stdout.splitlines()[0].startswith("lenet: batch")
    assert done.stdout.splitlines()[1] in ("0", "141")


def test_lists_have_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    models = shown(capsys, "models").splitlines()
    commands = [line.split()[:3] for line in models if re.match(r"    \S", line)]
    assert commands == [["dlc", "train", name] for name in bundled_models()]
    assert {line for line in models if re.match(r"\S", line)} == set(CHAPTERS)
    operators = shown(capsys, "ops").partition("\n\n")
    assert sorted(line.split()[0] for line in operators[0].splitlines()) == sorted(REGISTRY)
    assert operators[2].count("\n") == len(LEFT_OUT) + 1
    passes = shown(capsys, "passes").splitlines()
    assert [line.split()[0] for line in passes[:len(PIPELINE)]] == [p.__name__ for p in PIPELINE]
    assert "neg(neg(x)) -> x" in shown(capsys, "passes", "--rules").splitlines()
    assert shown(capsys, "ops", "--promotion").split()[:3] == ["f64", "f32", "f16"]
    assert "before:" in shown(capsys, "passes", "cse")


def test_debug_levels_add_to_each_other(tmp_path: Path) -> None:
    """1 passes, 2 launches, 3 graphs, 4 kernels, all on standard error."""
    told = [dlc("show", "xor", "--after", "input", at=tmp_path, DLC_DEBUG=str(level)).stderr
            for level in range(5)]
    assert told[0] == "" and [len(t) for t in told] == sorted({len(t) for t in told})
    assert "train differentiate:" in told[1] and "launch" not in told[1]
    assert "train launch 1:" in told[2] and "def " not in told[2]
    assert "def train(" in told[3] and "chunk):" not in told[3] and "chunk):" in told[4]
