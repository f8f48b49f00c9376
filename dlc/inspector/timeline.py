"""A step in time: what each thread did, as plain data for the page, the terminal and Perfetto."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlc.inspector.record import EntryInfo, Inspection
    from dlc.runtime.cpu.tracing import TracedStep

MOST = 6000  # spans that are kept, the longest
WAITING = -1  # the launch of a span in which a thread waits
Timeline = Mapping[str, Any]


def timeline(step: TracedStep, threads: int) -> dict[str, Any]:
    """`seconds` of the step, `threads`, when supersteps were `opened`, and spans as lists: thread,
    launch (WAITING: none), begin and end in nanoseconds. `left_out` is how many are not told."""
    longest = sorted(step.spans, key=lambda s: s.begin - s.end)[:MOST]
    spans = [[s.thread, s.launch, round(s.begin * 1e9), round(s.end * 1e9)]
             for s in sorted(longest, key=lambda s: s.begin)]
    return {"seconds": step.seconds, "threads": threads, "spans": spans,
            "opened": [round(t * 1e9) for t in step.opened],
            "left_out": len(step.spans) - len(spans),
            "busy": totals(step, threads, False), "waiting": totals(step, threads, True)}


def totals(step: TracedStep, threads: int, waiting: bool) -> list[float]:
    """Seconds that each thread ran chunks, or waited; what is left it looked for work."""
    return [sum(s.end - s.begin for s in step.spans
                if s.thread == thread and (s.launch == WAITING) == waiting)
            for thread in range(threads)]


def events(found: Inspection) -> dict[str, list[dict[str, Any]]]:
    """The steps in the Trace Event Format of Chrome and Perfetto: a process for each entry, a track
    for each of its threads."""
    told: list[dict[str, Any]] = []
    for process, entry in enumerate(found.steps(), 1):
        told.append({"name": "process_name", "ph": "M", "pid": process,
                     "args": {"name": f"{found.program} {entry.name}"}})
        told += [{"name": "thread_name", "ph": "M", "pid": process, "tid": thread,
                  "args": {"name": f"thread {thread}"}}
                 for thread in range(entry.timeline.get("threads", 0))]
        told += spans(found, entry, process)
    return {"traceEvents": told}


def spans(found: Inspection, entry: EntryInfo, process: int) -> Iterator[dict[str, Any]]:
    """What each thread of an entry did."""
    for thread, number, begin, end in entry.timeline.get("spans", ()):
        about: dict[str, Any] = {}
        name = "waiting"
        if number != WAITING:
            x = entry.launches[number]
            name = f"{number + 1} {x.name}"
            about = {"lines": ", ".join(found.words_of(x.places)), "flops": x.flops * x.runs,
                     "bytes": x.bytes * x.runs}
        yield {"name": name, "cat": "wait" if number == WAITING else "launch", "ph": "X",
               "pid": process, "tid": thread, "ts": begin / 1e3, "dur": (end - begin) / 1e3,
               "args": about}
