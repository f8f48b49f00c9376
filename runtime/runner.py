"""The runner: native code that runs a launch table for many steps without Python.

It is itself a Kernel, compiled by the workers and cached like any other. Every thread calls it
with its own number as `chunk`. Rows and control words are int64 arrays made by runtime/table.py.
"""

from __future__ import annotations

from dlc.program import Kernel, Parameter
from dlc.runtime.steps import Reason

# Words of the control block, in units of 8 bytes; what threads write lies on lines of its own.
ROWS, PHASES, PHASE_COUNT, THREADS, SPINS, STEPS, FAULTS, FAULT_COUNT, FIRST_STEP = range(9)
CURRENT, STOP, STEP, DONE, FINISHED, REASON = 16, 24, 32, 33, 34, 35
CONTROL_WORDS = 40
LINE = 64  # bytes between counters of different threads

# Words of a row: `counters` is one line for every thread. A row without a function ends the step.
FUNCTION, ARGUMENTS, CHUNKS, COUNTERS = range(4)
ROW_WORDS = 8

# Words of a phase: the rows first..end-1, which no barrier parts. It runs in the steps where
# step % every == offset; `base` is how many such steps came before the first of this run. DONE
# counts its finished chunks over all steps, and lies on a line of its own with the rest.
FIRST, END, EVERY, OFFSET, BASE, CHUNKS_IN_ALL, CHUNKS_DONE = range(7)
PHASE_WORDS = 8

REASONS: tuple[Reason, ...] = ("done", "fault", "stopped")

_RUNNER = '''
def dlc_wait(control, current, spins):
    """Wait until the run has left phase number `current`; how many looks that took."""
    waited = 0
    while atomic_load(control + 128) == current:
        waited += 1
        if waited < spins:
            pause()
        elif waited < spins + 200:
            give_way()
        else:
            sleep_ns(5000)
    return waited


def dlc_claim(counter, limit):
    """The next number below `limit`, or -1. Never takes a number of a later step: counters only
    grow, and a thread that fell behind finds its limit passed."""
    number = atomic_load(counter)
    while number < limit:
        found = atomic_claim(counter, number, number + 1)
        if found == number:
            return number
        number = found
    return -1


def dlc_work(control, row, thread, threads, run):
    """Run chunks of one row, first this thread's, then those that others have left; how many."""
    function = load_word(row)
    arguments = load_word(row + 8)
    chunks = load_word(row + 16)
    done = i64(0)
    for k in range(threads):
        owner = thread + k
        if owner >= threads:
            owner -= threads
        low = idiv(owner * chunks, threads)
        count = idiv((owner + 1) * chunks, threads) - low
        counter = load_word(row + 24) + owner * 64
        number = dlc_claim(counter, (run + 1) * count)
        while number >= 0:
            if function == 0:
                dlc_end_step(control)
            else:
                call_kernel(function, arguments, low + number - run * count)
            done += 1
            number = dlc_claim(counter, (run + 1) * count)
    return done


def dlc_end_step(control):
    """Count the step and decide whether the run goes on."""
    done = load_word(control + 264) + 1
    reason = -1
    if done >= load_word(control + 40):
        reason = 0
    if atomic_load(control + 192) != 0:
        reason = 2
    faults = load_word(control + 48)
    for k in range(load_word(control + 56)):
        if load_word(faults + k * 8) != 0:
            reason = 1
    store_word(control + 256, load_word(control + 256) + 1)
    store_word(control + 280, reason)
    if reason >= 0:
        store_word(control + 272, 1)
    atomic_store(control + 264, done)
    return 0


def dlc_advance(control, current):
    """Leave phase number `current`, whose chunks are all done, for the next that has work."""
    phases = load_word(control + 8)
    count = load_word(control + 16)
    following = current + 1
    searching = load_word(control + 272) == 0
    if not searching:
        following = i64(-1)
    while searching:
        phase = phases + imod(following, count) * 64
        step = load_word(control + 256)
        if load_word(phase + 40) > 0 and imod(step, load_word(phase + 16)) == load_word(phase + 24):
            searching = False
        else:
            following += 1
    return atomic_store(control + 128, following)


def dlc_runner(control, chunk):
    """Run the phases of a step, step after step, until steps, stop word or a fault end the run.

    A phase is over when its chunks are done, whoever did them: a thread that the system has put
    aside between two chunks is not waited for, and joins in wherever the others are."""
    rows = load_word(control)
    phases = load_word(control + 8)
    count = load_word(control + 16)
    threads = load_word(control + 24)
    spins = load_word(control + 32)
    start = load_word(control + 64)
    impatient = i64(0)
    current = atomic_load(control + 128)
    while current >= 0:
        phase = phases + imod(current, count) * 64
        step = start + idiv(current, count)
        run = idiv(step - load_word(phase + 24), load_word(phase + 16)) - load_word(phase + 32)
        done = i64(0)
        for r in range(load_word(phase), load_word(phase + 8)):
            done += dlc_work(control, rows + r * 64, chunk, threads, run)
        over = False
        if done > 0:
            whole = (run + 1) * load_word(phase + 40)
            over = atomic_add(phase + 48, done) + done == whole
        if over:
            dlc_advance(control, current)
        else:
            waited = dlc_wait(control, current, select(impatient > 0, i64(0), spins))
            # spinning is for when all threads run: two that share a core lose by it
            if waited > spins:
                impatient = i64(64)
            else:
                impatient = max(impatient - 1, i64(0))
        current = atomic_load(control + 128)
'''

_COPY = '''
def dlc_copy_rows(target, source, index, control, every, offset, base, row_bytes, rows,
                  rows_per_chunk, target_stride, index_stride, chunk):
    """Copy rows index[k * index_stride + i] of source, i < rows, where this is run k of the phase:
    to target + k * target_stride bytes."""
    run = idiv(load_word(control + 256) - offset, every) - base
    for i in range(chunk * rows_per_chunk, min((chunk + 1) * rows_per_chunk, rows)):
        start = index[run * index_stride + i] * row_bytes
        place = run * target_stride + i * row_bytes
        for j in range(row_bytes):
            target[place + j] = source[start + j]
'''

_STAMP = '''
def dlc_stamp(times, control, slots, slot, chunk):
    """Note the time in times[step, slot]."""
    times[load_word(control + 264) * slots + slot] = clock_ns()
'''


def _scalars(names: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, "i64", "scalar") for name in names.split())


def _pointers(**dtypes: str) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, dtype, "pointer") for name, dtype in dtypes.items())


RUNNER = Kernel("dlc_runner", _scalars("control"), _RUNNER)
COPY_ROWS = Kernel(
    "dlc_copy_rows",
    (*_pointers(target="u8", source="u8", index="i64"),
     *_scalars("control every offset base row_bytes rows rows_per_chunk target_stride "
               "index_stride")), _COPY)
STAMP = Kernel("dlc_stamp", (*_pointers(times="i64"), *_scalars("control slots slot")), _STAMP)
RUNTIME_KERNELS = (RUNNER, COPY_ROWS, STAMP)
