"""Numbers and places as people read them."""

from __future__ import annotations

from dlc.errors import size as size


def flops(count: float) -> str:
    """Operations as 9 flop, 15.7 Mflop."""
    for unit in ("", "k", "M", "G"):
        if count < 1000:
            return f"{count:.0f} flop" if not unit else f"{count:.1f} {unit}flop"
        count /= 1000
    return f"{count:.1f} Tflop"


def plural(count: int, word: str) -> str:
    """1 step, 2 steps, 3 launches."""
    ending = "" if count == 1 else "es" if word in ("launch", "pass") else "s"
    return f"{count:,} {word}{ending}"


def lines_of(places: tuple[str, ...]) -> str:
    """Source places with each file named once: models/lenet.py:9, 18."""
    parts: list[str] = []
    last = ""
    for place in places:
        file, _, line = place.rpartition(":")
        parts.append(line if file == last else place)
        last = file
    return ", ".join(parts)
