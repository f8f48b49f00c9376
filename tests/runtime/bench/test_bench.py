"""The benchmark: protocol, medians, ratios, floors, what is left out, and peers' networks."""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dlc.cli.bench import export
from dlc.models.peers import NETWORKS
from dlc.runtime.bench import machine, run, worker
from dlc.runtime.bench.client import environment, running
from dlc.runtime.bench.measure import (
    ALIKE,
    Measured,
    Plan,
    check_same_loss,
    check_same_network,
    floor_seconds,
    measure_start,
    ratio,
)
from dlc.runtime.bench.systems import (
    BATCH,
    HELD,
    BenchError,
    System,
    Work,
    all_systems,
    never_missing,
    select,
)
from tests.conformance.cut import chosen

CLOCKWORK = str(Path(__file__).with_name("clockwork.py"))


def clockwork(name: str, *arguments: str, missing: str = "") -> System:
    """A system that is tests/runtime/bench/clockwork.py."""
    family = "dlc" if name == "dlc" else "torch"
    command = (sys.executable, CLOCKWORK, *arguments)
    return System(name, family, command, lambda path: {"CLOCKWORK_CACHE": str(path)},
                  lambda: missing)


@pytest.fixture
def quick() -> Plan:
    """Two starts, three short rounds."""
    return Plan(threads=1, starts=2, rounds=3, turn=0.02)


def test_worker_answers_the_first_step_and_every_request(tmp_path: Path) -> None:
    with running(clockwork("dlc", "2", "77"), "lenet", 1, tmp_path) as one:
        assert one.first["parameters"] == 77 and one.first["batch"] == BATCH["lenet"]
        assert one.first["loss"] == 1.0
        answer = one.steps(10)
        assert answer["seconds"] >= 0.02
        assert answer["loss"] == pytest.approx(1 / 11)
        assert 1 < answer["rss_mib"] < 4096
        assert one.steps(3)["loss"] == pytest.approx(1 / 14)
    assert one.process.returncode is not None


def test_worker_that_fails_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(BenchError, match="dlc ended: ValueError: clockwork is broken"),
        running(clockwork("dlc", "fails"), "lenet", 1, tmp_path),
    ):
        pytest.fail("a worker that failed was handed out")


def test_stopped_worker_does_nothing_until_its_turn(tmp_path: Path) -> None:
    """Between two turns the process is stopped, so that it can't disturb the others."""
    with running(clockwork("dlc", "1", "1"), "lenet", 1, tmp_path) as one:
        one.steps(1)
        state = os.waitid(os.P_PID, one.process.pid, os.WSTOPPED | os.WNOWAIT)
        assert state is not None and state.si_status == signal.SIGSTOP
        assert one.steps(1)["seconds"] > 0


def test_cold_start_compiles_and_warm_start_does_not(tmp_path: Path, quick: Plan) -> None:
    cache, measured = tmp_path / "cache", Measured()
    measure_start(clockwork("dlc", "1", "5"), "lenet", quick, cache, measured)
    assert (cache / "compiled").read_text() == "once\n"
    assert len(measured.cold) == len(measured.warm) == 1
    assert measured.cold[0] > 0.3


def test_report_has_the_rows_ratios_and_what_was_left_out(
    tmp_path: Path, quick: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    systems = [
        clockwork("dlc", "1", "5"), clockwork("torch-eager", "4", "5"),
        clockwork("torch-compile", "2", "5", missing="no compiler here"),
    ]
    out = tmp_path / "out.json"
    report = run.bench(["lenet"], ["torch"], quick, systems=systems)
    run.write_json(out, report)
    assert json.loads(out.read_text()) == report
    assert report["missing"] == {"torch-compile": "no compiler here"}
    ours, peer = report["rows"]
    assert set(ours) == {"model", "system", "work", "dtype", "isa", "threads", "batch", "step_ms",
                         "cold_s", "warm_s", "rss_mib", "loss_first", "loss", "gflops",
                         "percent_of_floor"}
    assert (ours["loss_first"], ours["loss"]) == (1.0, 0.2)
    assert (ours["system"], peer["system"]) == ("dlc", "torch-eager")
    assert ours["step_ms"] >= 1.0 and peer["step_ms"] >= 4.0
    assert report["ratios"] == {"lenet": pytest.approx(peer["step_ms"] / ours["step_ms"], abs=1e-3)}
    assert report["geometric_mean"] == report["ratios"]["lenet"]
    assert ours["cold_s"] > 0.3
    assert ours["gflops"] == pytest.approx(4.00001 / ours["step_ms"], rel=0.01)
    floor = floor_seconds([(4_000_000, 1_000), (10, 2_000_000)], report["machine"])
    assert ours["percent_of_floor"] == pytest.approx(1e5 * floor / ours["step_ms"], rel=0.02)
    assert "no compiler here" in capsys.readouterr().out


def test_predictions_of_several_batches(tmp_path: Path, quick: Plan) -> None:
    """A row and a ratio for each size; what only predicts is given the model as a file."""
    written = []

    def export(model: str, batch: int, path: Path) -> None:
        written.append((model, batch, path.name))

    onnx = replace(clockwork("torch-eager", "3", "5"), family="onnx", model_file="model.onnx")
    systems, sizes = [clockwork("dlc", "1", "5"), onnx], (1, 8)
    report = run.bench(["lenet"], ["onnx"], replace(quick, export=export, starts=1),
                       systems=systems, works=[Work(True, size) for size in sizes])
    assert [(row["work"], row["batch"]) for row in report["rows"]] == [
        ("predict", size) for size in sizes for _ in systems]
    assert set(report["ratios"]) == {"lenet, batch 1", "lenet, batch 8"}
    assert written == [("lenet", size, "model.onnx") for size in sizes]
    with pytest.raises(BenchError, match="--against onnx: it does not train; add --predict"):
        run.bench(["lenet"], ["onnx"], quick, systems=systems)


def test_a_peer_that_breaks_is_left_out_and_the_rest_is_measured(quick: Plan) -> None:
    systems = [clockwork("dlc", "1", "5"), clockwork("torch-eager", "fails")]
    report = run.bench(["mlp"], ["torch"], quick, systems=systems)
    assert [row["system"] for row in report["rows"]] == ["dlc"]
    assert report["ratios"] == {}
    assert "clockwork is broken" in report["missing"]["torch-eager (mlp)"]


def test_dlc_that_breaks_is_an_error(quick: Plan) -> None:
    with pytest.raises(BenchError, match="mlp: dlc ended"):
        run.bench(["mlp"], [], quick, systems=[clockwork("dlc", "fails")])


def test_networks_that_differ_are_refused(quick: Plan) -> None:
    systems = [clockwork("dlc", "1", "5"), clockwork("torch-eager", "1", "6")]
    with pytest.raises(BenchError, match=r"dlc 5 parameters, batch 128; torch-eager 6 parameters"):
        run.bench(["mlp"], ["torch"], quick, systems=systems)


@pytest.mark.parametrize(("arguments", "message"), [
    ({"against": ["tensorflow"]}, "--against tensorflow: no such peer; there are jax, onnx, torch"),
    ({"plan": Plan(1, "f16")}, "--dtype f16: the benchmark measures f32"),
    ({"plan": Plan(1, isa="sse")}, "--isa sse: systems are held to avx512 or avx2"),
    ({"plan": Plan(4096)}, "--threads 4096: this process may use"),
])
def test_arguments_that_do_not_fit(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BenchError, match=message):
        run.bench(["lenet"], **arguments)


def test_an_instruction_set_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "has", lambda feature: feature == "avx2")
    with pytest.raises(BenchError, match="--isa avx512: this machine does not have it"):
        run.bench(["lenet"], plan=Plan(1, isa="avx512"))


def test_every_system_is_held_to_the_instruction_set(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """XLA's flags are added to those that are set."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_a=1")
    held = environment(clockwork("dlc"), 2, tmp_path, "avx2")
    assert {name: held[name] for name in held if name in HELD["avx2"]} == {
        "DLC_CPU": "avx2", "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2", "XLA_FLAGS": "--xla_a=1 --xla_cpu_max_isa=AVX2"}
    assert environment(clockwork("dlc"), 2, tmp_path)["XLA_FLAGS"] == "--xla_a=1"


def test_a_loss_that_rounding_does_not_explain_is_refused() -> None:
    """Of MLP at most 4.3e-4 of the first loss in the first step, five times that in the fifth."""
    def measured(first: float, later: float) -> dict[str, Measured]:
        return {"dlc": Measured(losses=[2.0, 1.0]), "jax": Measured(losses=[first, later])}

    check_same_loss("mlp", measured(2.0005, 1.004))
    with pytest.raises(BenchError, match=r"loss of step 1 is 2 in dlc and 2\.001 in jax"):
        check_same_loss("mlp", measured(2.001, 1.0))
    with pytest.raises(BenchError, match=r"loss of step 5 is 1 in dlc and 1\.005 in jax"):
        check_same_loss("mlp", measured(2.0, 1.005))
    with pytest.raises(BenchError, match="nan in jax"):
        check_same_loss("mlp", measured(2.0, float("nan")))


def test_select_keeps_order_and_families() -> None:
    systems = [clockwork("dlc"), clockwork("torch-eager"), clockwork("torch-compile", missing="no")]
    chosen, missing = select(["torch"], systems)
    assert [s.name for s in chosen] == ["dlc", "torch-eager"] and missing == {"torch-compile": "no"}
    assert [s.name for s in select([], systems)[0]] == ["dlc"]


def test_peers_are_started_without_dlc_on_their_path() -> None:
    """A peer's cold start must not pay for an import of dlc."""
    for system in all_systems():
        if system.family != "dlc":
            assert system.command[1] == "-P" and system.command[2].endswith("bench/worker.py")
    text = Path(worker.__file__).read_text() + "".join(
        Path(worker.__file__).with_name(f"{name}.py").read_text()
        for name in set(worker.PEERS.values())
    )
    assert "from dlc" not in text and "import dlc" not in text
    assert set(worker.PEERS) == {s.name for s in all_systems() if s.family != "dlc"}


def test_floor_takes_the_larger_of_arithmetic_and_memory() -> None:
    known = {"peak_gflops": 100.0, "bandwidth_gbs": 10.0}
    assert floor_seconds([(10**9, 0)], known) == pytest.approx(0.01)
    assert floor_seconds([(10**9, 10**9)], known) == pytest.approx(0.1)
    assert floor_seconds([(10**9, 0), (0, 10**9)], known) == pytest.approx(0.11)


def test_ratio_needs_ours_and_a_peer() -> None:
    ours, peer = {"system": "dlc", "step_ms": 2.0}, {"system": "jax", "step_ms": 3.0}
    assert ratio([ours, peer, {"system": "torch-eager", "step_ms": 2.5}]) == 1.25
    assert ratio([ours]) is None and ratio([peer]) is None


def test_same_network_check_passes_equal_ones() -> None:
    one = Measured(first={"parameters": 5, "batch": 8})
    check_same_network("x", {"dlc": one, "jax": Measured(first={"parameters": 5, "batch": 8})})


def test_every_system_may_write_bytecode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    for system in all_systems():
        assert "PYTHONDONTWRITEBYTECODE" not in environment(system, 2, tmp_path)


def test_a_busy_moment_does_not_lower_what_the_machine_can_do(
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "peak_gflops", lambda threads, isa: 100.0 * threads)
    monkeypatch.setattr(machine, "bandwidth_gbs", lambda threads: 10.0 * threads)
    found: dict[str, Any] = {"threads": 2, "isa": "", "peak_gflops": 150.0, "bandwidth_gbs": 30.0}
    machine.measure_again(found)
    assert (found["peak_gflops"], found["bandwidth_gbs"]) == (200.0, 30.0)


def test_measured_machine_is_plausible() -> None:
    """Multiply-adds in registers, as many as a core of today can make and more than none: how many
    of its cycles a busy machine gives decides no test."""
    peak = statistics.median(machine.peak_gflops(1) for _ in range(3))
    assert 0.1 < peak < 2_000
    assert 0.02 < machine.bandwidth_gbs(1) < 2_000


PEERS = {f"{system.name} {model}": (system.name, model)
         for system in all_systems() if system.family != "dlc" and not system.model_file
         for model in sorted(BATCH)}
PREDICTORS = {f"{system.name} {model}": (system.name, model)
              for system in all_systems() if system.family != "dlc" for model in sorted(BATCH)
              if model != "vae" and (system.name, model) != ("jax", "resnet18")}
PARAMETERS = {"lenet": 61_706, "mlp": 669_706, "vae": 652_824, "lstm": 575_584, "gru": 444_000,
              "gpt": 3_323_392, "vgg": 9_488_266, "resnet18": 11_173_962}


@pytest.mark.conformance
@pytest.mark.parametrize(("name", "model"), [
    pytest.param(*PEERS[case], id=case) for case in chosen("peers", list(PEERS))])
def test_peer_trains_the_same_network(name: str, model: str, tmp_path: Path) -> None:
    """Parameter counts as in models/peers.py, the losses of the first and the fifth step are dlc's,
    and after more steps the peer's has gone down; those of the day."""
    measured, lowered = {}, {}
    more, share = (60, 0.98) if model in ("lenet", "mlp") else (10, 0.999)
    for system in all_systems():
        if system.name not in ("dlc", name):
            continue
        assert not system.missing()
        with running(system, model, machine.cores(), tmp_path) as worker_:
            first, later = worker_.first, worker_.steps(ALIKE - 1)
            measured[system.name] = Measured(first=first, losses=[first["loss"], later["loss"]])
            if system.name == name:
                lowered[name] = worker_.steps(more)["loss"]
        assert first["parameters"] == PARAMETERS[model]
    check_same_loss(model, measured)
    assert lowered[name] < share * measured[name].losses[0]


@pytest.mark.conformance
@pytest.mark.parametrize(("name", "model"), [
    pytest.param(*PREDICTORS[case], id=case) for case in chosen("predictors", list(PREDICTORS))])
def test_peer_predicts_the_same(name: str, model: str, tmp_path: Path) -> None:
    """Of three rows, by their mean size; those of the day."""
    measured = {}
    for system in all_systems():
        if system.name not in ("dlc", name):
            continue
        cache = tmp_path / system.name
        cache.mkdir(mode=0o700)
        if system.model_file:
            export(model, 3, cache / system.model_file)
        with running(system, model, 1, cache, work=Work(True, 3)) as worker_:
            losses = [worker_.first["loss"], worker_.steps(ALIKE - 1)["loss"]]
            measured[system.name] = Measured(first=worker_.first, losses=losses)
    check_same_network(model, measured)
    check_same_loss(model, measured, "mean size of what is predicted")


@pytest.mark.parametrize("model", sorted(BATCH))
def test_dlcs_network_has_the_parameters_and_the_batch_of_its_peer(model: str) -> None:
    task = NETWORKS[model]()
    graph = task.graphs(kinds=("train",))["train"]
    sizes = [v.type.size for v in graph.notes["variables"] if v.role == "param"]
    assert (sum(sizes), task.batch) == (PARAMETERS[model], BATCH[model])


def test_dlc_needs_nothing_to_be_installed() -> None:
    assert never_missing() == ""
