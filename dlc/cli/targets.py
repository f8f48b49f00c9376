"""--target: what dlc compiles for."""

from __future__ import annotations

from dlc.cli.arguments import UsageError
from dlc.errors import nearest


def check_target(target: str) -> None:
    """Raise UsageError for a target that dlc does not compile for."""
    from dlc.compiler import TARGETS

    if target not in TARGETS:
        raise UsageError(f"unknown target {target!r}{nearest(target, list(TARGETS))}\n"
                         f"  targets are {', '.join(TARGETS)}")


def check_runs(target: str) -> None:
    """Raise UsageError for a target whose programs do not run here, with what is missing."""
    check_target(target)
    if target == "cuda":
        from dlc.runtime.cuda.devices import missing

        if missing():
            raise UsageError(missing())
