"""What a compiled program says of itself: the questions of `Compiled`."""

from __future__ import annotations

from functools import cached_property

from dlc.inspector.record import BufferInfo, Inspection


class Inspected:
    """The part of `Compiled` that answers questions; each comes from its `inspection`."""

    @cached_property
    def inspection(self) -> Inspection:
        """What the program is made of, back to the user's lines: plain data (`as_json()`)."""
        from dlc.inspector.gather import inspect

        return inspect(self)  # type: ignore[arg-type]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from dlc.inspector.notebook import program_page

        return program_page(self)  # type: ignore[arg-type]

    def why_kept(self, name: str) -> str:
        """Why the value called `name` lies in memory. Raises DlcError for an unknown name."""
        from dlc.inspector.explain import why_kept

        return why_kept(self.inspection, name)

    def why_not_fused(self, first: str, second: str) -> str:
        """Why one launch does not make both values. Raises DlcError for an unknown name."""
        from dlc.inspector.explain import why_not_fused

        return why_not_fused(self.inspection, first, second)

    def largest(self, count: int = 10) -> tuple[BufferInfo, ...]:
        """The largest values of a step, the largest first. Raises DlcError for a count below 1."""
        from dlc.inspector.explain import largest

        return largest(self.inspection, count)
