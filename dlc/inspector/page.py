"""inspect.html: an Inspection as one file that opens from disk and asks the network for nothing."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from dlc.errors import printable
from dlc.inspector.record import Function, Inspection, Row

HERE = Path(__file__).resolve().parent
# In the order in which they run.
SCRIPTS = ("base", "source", "graph", "launches", "memory", "timeline")


def page(inspection: Inspection) -> str:
    """The page. Data are compressed and in base64, so that no text of them can be read as markup
    or as a script; what is shown becomes text nodes only."""
    from dlc.runtime.report.page import filled, whole_page

    data = zlib.compress(json.dumps(data_of(inspection), separators=(",", ":")).encode(), 9)
    body = filled(text_of("inspect.html"), data=base64.b64encode(data).decode("ascii"),
                  script="\n".join(text_of(f"js/{name}.js") for name in SCRIPTS))
    return whole_page(f"{printable(inspection.program)}: dlc inspect",
                      "\n" + text_of("inspect.css"), body)


def text_of(name: str) -> str:
    """A file that the page is made of."""
    return (HERE / name).read_text(encoding="utf-8")


def data_of(inspection: Inspection) -> dict[str, Any]:
    """The Inspection as the page's script reads it: rows and functions as lists."""
    plain: dict[str, Any] = {f.name: packed(getattr(inspection, f.name))
                             for f in fields(inspection)}
    plain["arena"] = plain.pop("arena_bytes")
    return plain


def packed(value: Any) -> Any:
    """Plain lists, dicts, texts and numbers; what there are many of without names of fields."""
    if isinstance(value, Row | Function):
        return [packed(getattr(value, f.name)) for f in fields(value)]
    if is_dataclass(value):
        return {f.name: packed(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [packed(v) for v in value] if value and not isinstance(value[0], int) else (
            list(value))
    return dict(value) if isinstance(value, dict) else value
