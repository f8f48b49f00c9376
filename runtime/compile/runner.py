"""The runner: native code that runs a launch table for many steps without Python.

It is itself a Kernel, compiled by the workers and cached like any other. Every thread calls it
with its own number as `chunk`. Rows and control words are int64 arrays made by table.py. Lines that
begin with #traced are those of TRACED alone, which notes who did what when.
"""

from __future__ import annotations

import re
from string import Template

from dlc.program import Kernel, Parameter
from dlc.runtime.steps import Reason

# Words of the control block, in units of 8 bytes; what threads write lies on lines of its own.
ROWS, CODE, THREADS, SPINS, STEPS, FAULTS, FAULT_COUNT = range(7)
LOG, LOG_BYTES, LOG_EVENTS = 7, 8, 9  # of each thread, where the runner is TRACED
CURRENT, POSITION, STOP, STEP, DONE, FINISHED, REASON = 16, 17, 24, 32, 33, 34, 35
CONTROL_WORDS = 40
LINE = 64  # bytes between counters of different threads

# Words of a row: `counters` is one line for every thread. The first row has no function.
FUNCTION, ARGUMENTS, CHUNKS, COUNTERS = range(4)
ROW_WORDS = 8

# An instruction is eight words, the first its kind; TARGET is the instruction to go on with.
WORK, LOOP, AGAIN, BRANCH, JUMP, WHEN, END = range(7)
KIND, TARGET = 0, 1
# WORK: the rows first..end-1, which no barrier parts. OPENED counts how often it was begun,
# CHUNKS_DONE its finished chunks over all times. INLINE: whoever comes to it runs it alone.
FIRST, STOP_ROW, CHUNKS_IN_ALL, OPENED, CHUNKS_DONE, INLINE = 1, 2, 3, 4, 5, 6
COUNT, ITERATION, MOVES, MOVE_COUNT = 2, 3, 4, 5  # LOOP, and AGAIN at the loop's end
FLAG = 2  # BRANCH: the address of the word that holds the address of the flag's byte
EVERY, OFFSET = 2, 3  # WHEN: go to the target unless step % every == offset
CODE_WORDS = 8

# An event in the log of a thread is three words: a row of which a chunk ran, or one of these; when
# it began and when it ended. The log's first line holds how many there are.
WAITED, STEP_ENDED, OPENED_NEXT = -1, -2, -3
EVENT_WORDS = 3

REASONS: tuple[Reason, ...] = ("done", "fault", "stopped")

# What a text names with a dollar: words as offsets in bytes, kinds of instructions as they are.
_NAMES: dict[str, int] = {
    "LINE": LINE, "ROW": 8 * ROW_WORDS, "INSTRUCTION": 8 * CODE_WORDS,
    "WORK": WORK, "LOOP": LOOP, "AGAIN": AGAIN, "BRANCH": BRANCH, "JUMP": JUMP, "WHEN": WHEN,
    **{f"BY_{name}": REASONS.index(reason) for name, reason in (
        ("DONE", "done"), ("FAULT", "fault"), ("STOP", "stopped"))},
    "BY_WAITING": WAITED, "BY_STEP_END": STEP_ENDED, "BY_OPENING": OPENED_NEXT,
    **{name: 8 * word for name, word in (
        ("ROWS", ROWS), ("CODE", CODE), ("THREADS", THREADS), ("SPINS", SPINS), ("STEPS", STEPS),
        ("FAULTS", FAULTS), ("FAULT_COUNT", FAULT_COUNT), ("LOG", LOG), ("LOG_BYTES", LOG_BYTES),
        ("LOG_EVENTS", LOG_EVENTS), ("EVENT", EVENT_WORDS), ("CURRENT", CURRENT),
        ("POSITION", POSITION), ("STOP", STOP), ("STEP", STEP), ("DONE", DONE),
        ("FINISHED", FINISHED), ("REASON", REASON), ("ARGUMENTS", ARGUMENTS), ("CHUNKS", CHUNKS),
        ("COUNTERS", COUNTERS), ("TARGET", TARGET), ("FIRST", FIRST), ("STOP_ROW", STOP_ROW),
        ("CHUNKS_IN_ALL", CHUNKS_IN_ALL), ("OPENED", OPENED), ("CHUNKS_DONE", CHUNKS_DONE),
        ("INLINE", INLINE), ("COUNT", COUNT), ("ITERATION", ITERATION), ("MOVES", MOVES),
        ("MOVE_COUNT", MOVE_COUNT), ("FLAG", FLAG), ("EVERY", EVERY), ("OFFSET", OFFSET))}}

_RUNNER = '''
def dlc_wait(control, current, superstep, run, spins):
    """Wait until the run has left its superstep number `current`, or opens the one looked at, which
    it had not opened time `run` + 1 yet; how many looks that took."""
    waited = 0
    while atomic_load(control + $CURRENT) == current and atomic_load(superstep + $OPENED) == run:
        waited += 1
        if waited < spins:
            pause()
        elif waited < spins + 200:
            give_way()
        else:
            sleep_ns(5000)
    return waited


def dlc_claim(counter, limit):
    """The next number below `limit`, or -1. Never takes a number of a later time: counters only
    grow, and a thread that fell behind finds its limit passed."""
    number = atomic_load(counter)
    while number < limit:
        found = atomic_claim(counter, number, number + 1)
        if found == number:
            return number
        number = found
    return -1


#traced def dlc_note(control, thread, what, began):
#traced     """Note what `thread` did from `began` to now; how many notes it has."""
#traced     log = load_word(control + $LOG) + thread * load_word(control + $LOG_BYTES)
#traced     count = load_word(log)
#traced     if count < load_word(control + $LOG_EVENTS):
#traced         place = log + $LINE + count * $EVENT
#traced         store_word(place, what)
#traced         store_word(place + 8, began)
#traced         store_word(place + 16, clock_ns())
#traced         store_word(log, count + 1)
#traced     return count
#traced
#traced
def dlc_work(control, row, thread, threads, run):
    """Run chunks of one row, first this thread's, then those that others have left; how many."""
    function = load_word(row)
    arguments = load_word(row + $ARGUMENTS)
    chunks = load_word(row + $CHUNKS)
    done = i64(0)
    for k in range(threads):
        owner = thread + k
        if owner >= threads:
            owner -= threads
        low = idiv(owner * chunks, threads)
        count = idiv((owner + 1) * chunks, threads) - low
        counter = load_word(row + $COUNTERS) + owner * $ROW
        number = dlc_claim(counter, run * count)
        while number >= 0:
            if function != 0:
                #traced began = clock_ns()
                call_kernel(function, arguments, low + number - (run - 1) * count)
                #traced dlc_note(control, thread, idiv(row - load_word(control), $ROW), began)
            done += 1
            number = dlc_claim(counter, run * count)
    return done


def dlc_alone(control, superstep, thread):
    """Run a whole superstep on this thread: it is not worth waking others for."""
    rows = load_word(control)
    for r in range(load_word(superstep + $FIRST), load_word(superstep + $STOP_ROW)):
        row = rows + r * $ROW
        #traced began = clock_ns()
        function = load_word(row)
        arguments = load_word(row + $ARGUMENTS)
        for chunk in range(load_word(row + $CHUNKS)):
            call_kernel(function, arguments, chunk)
        #traced dlc_note(control, thread, r, began)
    return 0


def dlc_move(again, times, swaps):
    """Move every pointer of a loop by its stride `times` times and by its swap `swaps` times."""
    move = load_word(again + $MOVES)
    for k in range(load_word(again + $MOVE_COUNT)):
        word = load_word(move)
        by = load_word(move + 8) * times + load_word(move + 16) * swaps
        store_word(word, load_word(word) + by)
        move += 24
    return 0


def dlc_again(again, here):
    """The end of an iteration: move the pointers on and begin the next, or put them back."""
    count = load_word(again + $COUNT)
    iteration = load_word(again + $ITERATION)
    if iteration + 1 < count:
        dlc_move(again, i64(1), i64(1) - 2 * imod(iteration, 2))
        store_word(again + $ITERATION, iteration + 1)
        return load_word(again + $TARGET)
    dlc_move(again, 1 - count, -imod(count - 1, 2))
    store_word(again + $ITERATION, i64(0))
    return here + 1


def dlc_end_step(control):
    """Count the step and decide whether the run goes on."""
    done = load_word(control + $DONE) + 1
    reason = -1
    if done >= load_word(control + $STEPS):
        reason = $BY_DONE
    if atomic_load(control + $STOP) != 0:
        reason = $BY_STOP
    faults = load_word(control + $FAULTS)
    for k in range(load_word(control + $FAULT_COUNT)):
        if load_word(faults + k * 8) != 0:
            reason = $BY_FAULT
    store_word(control + $STEP, load_word(control + $STEP) + 1)
    store_word(control + $REASON, reason)
    if reason >= 0:
        store_word(control + $FINISHED, 1)
    return atomic_store(control + $DONE, done)


def dlc_advance(control, thread):
    """Leave the superstep whose chunks are all done: follow the instructions to the next one that
    is worth sharing, and open it, which is the last thing done. One thread at a time is here:
    nobody can finish a superstep before it is open, late as the others may be with what they know.
    """
    code = load_word(control + $CODE)
    at = load_word(control + $POSITION) + 1
    searching = True
    while searching:
        here = code + at * $INSTRUCTION
        kind = load_word(here)
        if kind == $WORK:
            if load_word(here + $INLINE) == 0:
                searching = False
            else:
                dlc_alone(control, here, thread)
                at += 1
        elif kind == $LOOP:
            at = select(load_word(here + $COUNT) > 0, at + 1, load_word(here + $TARGET))
        elif kind == $AGAIN:
            at = dlc_again(here, at)
        elif kind == $BRANCH:
            flag = load_byte(load_word(load_word(here + $FLAG)))
            at = select(flag != 0, at + 1, load_word(here + $TARGET))
        elif kind == $JUMP:
            at = load_word(here + $TARGET)
        elif kind == $WHEN:
            turn = imod(load_word(control + $STEP), load_word(here + $EVERY))
            at = select(turn == load_word(here + $OFFSET), at + 1, load_word(here + $TARGET))
        else:
            #traced dlc_note(control, thread, i64($BY_STEP_END), clock_ns())
            dlc_end_step(control)
            at = i64(1)
            searching = load_word(control + $FINISHED) == 0
    if load_word(control + $FINISHED) != 0:
        return atomic_store(control + $CURRENT, i64(-1))
    superstep = code + at * $INSTRUCTION
    store_word(control + $POSITION, at)
    #traced dlc_note(control, thread, i64($BY_OPENING), clock_ns())
    atomic_store(control + $CURRENT, atomic_load(control + $CURRENT) + 1)
    return atomic_store(superstep + $OPENED, load_word(superstep + $OPENED) + 1)


def dlc_runner(control, chunk):
    """Run the supersteps of a step, step after step, until steps, stop word or a fault end the run.

    A superstep is over when its chunks are done, whoever did them: a thread that the system has
    put aside between two chunks is not waited for, and joins in wherever the others are. It may
    look at a superstep that is over, or that was opened again since: what it claims is compared
    with the times it was opened, so it can take nothing that is not there to be done."""
    rows = load_word(control)
    code = load_word(control + $CODE)
    threads = load_word(control + $THREADS)
    spins = load_word(control + $SPINS)
    impatient = i64(0)
    current = atomic_load(control + $CURRENT)
    while current >= 0:
        superstep = code + load_word(control + $POSITION) * $INSTRUCTION
        run = atomic_load(superstep + $OPENED)
        done = i64(0)
        for r in range(load_word(superstep + $FIRST), load_word(superstep + $STOP_ROW)):
            done += dlc_work(control, rows + r * $ROW, chunk, threads, run)
        over = False
        if done > 0:
            whole = run * load_word(superstep + $CHUNKS_IN_ALL)
            over = atomic_add(superstep + $CHUNKS_DONE, done) + done == whole
        if over:
            dlc_advance(control, chunk)
        else:
            #traced began = clock_ns()
            waited = dlc_wait(control, current, superstep, run,
                              select(impatient > 0, i64(0), spins))
            #traced dlc_note(control, chunk, i64($BY_WAITING), began)
            # spinning is for when all threads run: two that share a core lose by it
            if waited > spins:
                impatient = i64(64)
            else:
                impatient = max(impatient - 1, i64(0))
        current = atomic_load(control + $CURRENT)
'''

_COPY = '''
def dlc_copy_rows(target, source, index, control, every, offset, base, row_bytes, rows,
                  rows_per_chunk, target_stride, index_stride, chunk):
    """Copy rows index[k * index_stride + i] of source, i < rows, where this is run k of the phase:
    to target + k * target_stride bytes."""
    run = idiv(load_word(control + $STEP) - offset, every) - base
    for i in range(chunk * rows_per_chunk, min((chunk + 1) * rows_per_chunk, rows)):
        start = index[run * index_stride + i] * row_bytes
        place = run * target_stride + i * row_bytes
        for j in range(row_bytes):
            target[place + j] = source[start + j]
'''

_STAMP = '''
def dlc_stamp(times, control, slot, chunk):
    """Write the time to times[step, slot]."""
    times[load_word(control + $DONE) * 2 + slot] = clock_ns()
'''


def _named(text: str) -> str:
    """The text with numbers for the words that it names."""
    return Template(text).substitute(_NAMES)


def _runner(name: str, traced: bool) -> Kernel:
    """The runner; `traced`, with what its text has for that."""
    kept = [line for line in _RUNNER.split("\n") if traced or "#traced" not in line]
    text = re.sub(r"#traced ?", "", "\n".join(kept)).replace("dlc_runner", name)
    return Kernel(name, _scalars("control"), _named(text))


def _scalars(names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "i64", "scalar") for name in names.split())


def _pointers(**dtypes: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, dtype, "pointer") for name, dtype in dtypes.items())


RUNNER, TRACED = _runner("dlc_runner", False), _runner("dlc_traced", True)
COPY_ROWS = Kernel(
    "dlc_copy_rows",
    (*_pointers(target="u8", source="u8", index="i64"),
     *_scalars("control every offset base row_bytes rows rows_per_chunk target_stride "
               "index_stride")), _named(_COPY))
STAMP = Kernel("dlc_stamp", (*_pointers(times="i64"), *_scalars("control slot")),
               _named(_STAMP))
