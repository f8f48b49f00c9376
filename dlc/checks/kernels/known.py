"""Known: what checks found, kept from program to program within a bound."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Known(Generic[Found]):
    """At most `most` results by all that they depend on; the ones found first go first."""

    def __init__(self, most: int = 1024) -> None:  # a network has some hundred kernels
        self.most = most
        self.found: dict[Hashable, Found] = {}

    def get(self, key: Hashable, find: Callable[[], Found]) -> Found:
        """What `find` gave for `key`, or gives now."""
        if key not in self.found:
            while len(self.found) >= self.most:
                del self.found[next(iter(self.found))]
            self.found[key] = find()
        return self.found[key]
