"""Switches: unknown names and values that do not fit are refused, here and on the command line."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

import dlc
from dlc import env, f32
from dlc.cli import main


def test_an_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_DEBUGG", "1")
    with pytest.raises(env.EnvError, match=r"unknown environment variable DLC_DEBUGG; there are"):
        env.check()


@pytest.mark.parametrize(("value", "fits"), [
    ("0", True), ("256", True), ("257", False), ("-1", False), ("two", False), ("1.5", False)])
def test_a_number_in_its_range(value: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_THREADS", value)
    if fits:
        assert env.number("DLC_THREADS") == int(value)
        return
    with pytest.raises(env.EnvError, match=r"DLC_THREADS=.* takes a number 0\.\.256"):
        env.number("DLC_THREADS")


@pytest.mark.parametrize(("value", "fits"), [
    ("", True), ("avx512", True), ("scalar", True), ("sse2", False), ("AVX2", False)])
def test_one_of_several_words(value: str, fits: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLC_CPU", value)
    if fits:
        assert env.text("DLC_CPU") == value
        return
    with pytest.raises(env.EnvError, match="it takes avx512, avx2, neon, scalar"):
        env.text("DLC_CPU")


def double(x: f32[3]) -> dlc.Node:
    return x * 2


def test_another_machines_kernels_are_printed_but_not_run(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
        tmp_path: Path) -> None:
    """An instruction set that this machine lacks is generated for, and refused by name to run."""
    other = "avx2" if platform.machine() in ("aarch64", "arm64") else "neon"
    monkeypatch.setenv("DLC_CPU", other)
    compiled = dlc.compile(double)
    assert compiled.program.isa == other and "x[i]" in compiled.kernels[0].text
    with pytest.raises(dlc.DlcError, match=f"this machine runs .* not '{other}'"):
        compiled.load()
    assert main(["train", "xor", "--epochs", "1", "--out", str(tmp_path)]) == 2
    assert f"not '{other}'" in capsys.readouterr().err
