"""Reads damaged files, within 5 seconds of processor time and 500 MB each; run as a process.

    python -m tests.damaged.tries SEED FIRST LAST [MODELS]

prints tries FIRST to LAST - 1 of that seed as JSON: of every format, or of the ONNX models in the
folder MODELS.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from pathlib import Path

import dlc
from tests.damaged.mutate import damaged
from tests.damaged.sound import Format, built, formats

SECONDS, MEMORY = 5, 500 << 20
LONGEST = 20_000  # characters of a message


def main(seed: int, first: int, last: int, models: str = "") -> None:
    """Print which tries were refused and taken by format, and what was wrong with the others.

    A try that takes more than its processor time ends the process by SIGPROF, at its number.
    """
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o700)
        sound = formats(folder)
        for form in sound:  # whatever is imported or kept is there before memory is counted
            form.read(form.write(folder, form.content))
        if models:
            sound = [Format(p.name, p.read_bytes(), built, "onnx")
                     for p in sorted(Path(models).iterdir())]
        limit_memory()
        counts: Counter[str] = Counter()
        wrong = {}
        for index in range(first, last):
            print(index, flush=True)
            form, content = case(sound, seed, index)
            verdict = outcome(form, folder, content)
            counts[verdict.partition(":")[0]] += 1
            if verdict not in ("taken", "refused"):
                wrong[f"{index} {form.name}"] = verdict
    print(json.dumps({"counts": counts, "wrong": wrong}))


def case(sound: list[Format], seed: int, index: int) -> tuple[Format, bytes]:
    """The damaged file of a try: a function of (seed, index) alone."""
    draw = random.Random(f"{seed}/{index}")
    form = draw.choice(sound)
    return form, damaged(form, draw)


def limit_memory() -> None:
    """MEMORY more than this process has now is all that it gets."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def outcome(form: Format, folder: Path, content: bytes) -> str:
    """ "taken", "refused" (one DlcError), or "wrong: " and why."""
    path = form.write(folder, content)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        form.read(path)
    except dlc.DlcError as error:
        return judged(error)
    except BaseException:
        return f"wrong: {traceback.format_exc()[-2000:]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "taken"


def judged(error: dlc.DlcError) -> str:
    """Whether a refusal is one: weighed before memory ran out, and fit to be shown."""
    message = str(error)
    if any(isinstance(e, MemoryError) for e in causes(error)):
        return f"wrong: memory ran out: {message}"
    if len(message) > LONGEST or "\nforged" in message:
        return f"wrong: long or forged: {message!r}"
    if not all(part.isprintable() for line in message.split("\n") for part in line.split("\t")):
        return f"wrong: a terminal acts on it: {message!r}"
    return "refused"


def causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), *sys.argv[4:])  # type: ignore[arg-type]
