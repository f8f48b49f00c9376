"""dlc train --trap nan: the step, operator and line that first make a value which is not finite.

What is planted: a row of zeros, at which a root has no derivative. The loss stays finite; without
the trap the step after it is blamed, for a parameter that is NaN.
"""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import dlc
from dlc import f32, nn, optim
from dlc.cli import main
from dlc.errors import DlcError
from dlc.replay import read, replay
from dlc.runtime.train import trap
from dlc.runtime.train.checkpoint import read_checkpoint
from dlc.runtime.train.training import NOT_FINITE, Fault, Moment, TrainingFault

line, side = nn.dense(1), nn.dense(1, bias=False)
BATCH, ROWS = 4, 40


@dlc.task(data="", optimizer=optim.sgd(1e-4), batch=BATCH, epochs=3)
def planted(x: f32["batch", 3]) -> dlc.Loss:
    size = dlc.sqrt((side(x) ** 2).sum(1))
    return dlc.loss(nn.mse(line(x), x[:, :1]) + size.mean())


def rows(zeros: bool = True) -> dict[str, np.ndarray]:
    """The held-out fifth has none of the zeros."""
    x = np.random.default_rng(0).uniform(1, 2, (ROWS, 3)).astype(np.float32)
    x[17] = 0 if zeros else 1
    return {"x": x}


def caught(**options: object) -> tuple[Fault, str]:
    with pytest.raises(TrainingFault) as found:
        planted.train(rows(), **options)  # type: ignore[arg-type]
    return found.value.fault, str(found.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that ended in the trap."""
    path = tmp_path_factory.mktemp("trap") / "run"
    fault, text = caught(folder=path, trap="nan")
    assert fault.code == NOT_FINITE and fault.epoch == 0 and fault.entry == "train"
    assert (fault.inputs["x"] == 0).any(), "the very step that read the row of zeros"
    assert f"step {fault.step} (epoch 1, batch {fault.step + 1}): " in text
    assert "the new side.weight is not finite: div gives inf at [" in text
    assert "size = 0, in the gradient\n    size = dlc.sqrt(" in text
    assert "operand size: f32[batch=4], from 0 to " in text and ", 1 are 0" in text
    assert f"dlc replay {path / 'fault.safetensors'}" in text
    return path


@pytest.mark.parametrize("shortest", [0.0, 1e9])
def test_the_step_is_the_same_however_often_is_looked(folder: Path, shortest: float,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """After every stretch, or not before something must be kept."""
    monkeypatch.setattr(trap, "SHORTEST", shortest)
    monkeypatch.setattr(trap, "SHARE", 0)
    assert caught(trap="nan")[0].step == read(folder / "fault.safetensors").step


def test_without_a_trap_the_step_after_it_is_blamed(folder: Path) -> None:
    fault, text = caught()
    assert fault.step == read(folder / "fault.safetensors").step + 1
    assert "side.weight holds nan" in text


def test_what_hooks_write_is_no_step() -> None:
    """A hook after every step writes a weight; the steps are found all the same."""
    def write(moment: Moment) -> None:
        moment.write("line.bias", np.full(1, moment.step, np.float32))

    fault, _ = caught(trap="nan", on_step=write)
    assert (fault.inputs["x"] == 0).any()
    with pytest.raises(TrainingFault) as found:
        planted.train(rows(False), trap="nan", on_epoch=lambda moment: moment.write(
            "side.weight", np.zeros((3, 1), np.float32)))
    assert "step 8 (epoch 2, batch 1)" in str(found.value)


def test_the_trap_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trap, "SHORTEST", 0.0)
    found = [planted.train(rows(False), trap=on).values for on in ("nan", None)]
    assert all((found[0][name] == value).all() for name, value in found[1].items())


def test_no_checkpoint_holds_what_is_not_finite(folder: Path) -> None:
    for path in folder.glob("*.safetensors"):
        if path.name != "fault.safetensors":
            assert all(np.isfinite(v).all() for v in read_checkpoint(path).arrays.values())


def test_a_bundle_runs_again_in_numpy(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = read(folder / "fault.safetensors")
    assert (bundle.program, bundle.entry) == ("planted", "train")
    assert np.isfinite(bundle.inputs["side.weight"]).all(), "from before the step"
    found = replay(bundle.graph(), bundle.inputs)
    assert found.code == NOT_FINITE and found.bad[0].op.name == "div"
    assert main(["replay", str(folder / "fault.safetensors")]) == 1
    told = capsys.readouterr().out
    assert f"planted, train: step {bundle.step} (epoch 1)" in told
    assert "div gives inf at [" in told and "size = dlc.sqrt(" in told


def test_a_changed_file_is_tried_on_the_same_inputs(folder: Path, tmp_path: Path) -> None:
    source = Path(__file__).read_text()
    for text, status in ((".sum(1))", 1), (".sum(1) + 1e-9)", 0)):
        (tmp_path / "mended.py").write_text(source.replace(".sum(1))", text))
        with redirect_stdout(io.StringIO()):
            assert main(["replay", str(folder / "fault.safetensors"),
                         str(tmp_path / "mended.py")]) == status
    (tmp_path / "other.py").write_text(source.replace("side = ", "beside = ").replace(
        "side(x)", "beside(x)"))
    with redirect_stdout(io.StringIO()):
        assert main(["replay", str(folder / "fault.safetensors"), str(tmp_path / "other.py")]) == 2


def test_what_is_no_bundle_is_told_so(folder: Path, tmp_path: Path) -> None:
    """A flipped bit in the record and in an array, half a file, another format, a checkpoint."""
    whole = (folder / "fault.safetensors").read_bytes()
    at = whole.index(b"side.weight") + 3
    for content, word in ((whole[:at] + b"X" + whole[at + 1:], "checksum"),
                          (whole[:-1] + bytes([whole[-1] ^ 1]), "checksum"),
                          (whole[:len(whole) // 2], "not a valid safetensors file"),
                          (b"PK\3\4", "not a valid safetensors file")):
        (tmp_path / "b.safetensors").write_bytes(content)
        with pytest.raises(DlcError, match=word):
            read(tmp_path / "b.safetensors")
    planted.train(rows(False), folder=tmp_path / "other", epochs=1)
    with pytest.raises(DlcError, match="is a checkpoint, not a replay bundle"):
        read(tmp_path / "other" / "last.safetensors")


def test_an_unknown_trap_is_refused() -> None:
    with pytest.raises(DlcError, match="trap='inf' is invalid"):
        planted.train(rows(), trap="inf")
