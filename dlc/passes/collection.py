"""Python's collection of cyclic garbage waits while a program is compiled."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """No search for cycles inside, or in a function that this decorates.

    Nodes only refer to their operands, so reference counts free what passes leave behind. A search
    walks over all nodes that there are, and comes the more often the more are made.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
