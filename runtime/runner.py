"""The runner: native code that runs a launch table for many steps without Python.

It is itself a Kernel, compiled by the workers and cached like any other. Every thread calls it
with its own number as `chunk`. Rows and control words are int64 arrays made by runtime/table.py.
"""

from __future__ import annotations

from dlc.program import Kernel, Parameter
from dlc.runtime.steps import Reason

# Words of the control block, in units of 8 bytes; what threads write lies on lines of its own.
ROWS, ROW_COUNT, THREADS, SPINS, STEPS, FAULTS, FAULT_COUNT = range(7)
ARRIVED, GENERATION, STOP, STEP, DONE, FINISHED, REASON = 8, 16, 24, 32, 33, 34, 35
CONTROL_WORDS = 40
LINE = 64  # bytes between counters of different threads

# Words of a row. `barrier` makes the row wait for all rows before it; a row runs in the steps
# where step % every == offset; `counters` is one line for every thread.
FUNCTION, ARGUMENTS, CHUNKS, BARRIER, EVERY, OFFSET, COUNTERS = range(7)
ROW_WORDS = 8

REASONS: tuple[Reason, ...] = ("done", "fault", "stopped")

_RUNNER = '''
def dlc_barrier(control, threads, generation, spins, first, end):
    """Wait until all threads are here; the number of looks it took.

    The last to come clears the counters of rows first..end-1 and gets -1; it lets the others go
    through dlc_release."""
    if atomic_add(control + 64, 1) + 1 < threads * (generation + 1):
        waited = 0
        while atomic_load(control + 128) == generation:
            waited += 1
            if waited < spins:
                pause()
            elif waited < spins + 200:
                give_way()
            else:
                sleep_ns(5000)
        return waited
    rows = load_word(control)
    for row in range(first, end):
        counters = load_word(rows + row * 64 + 48)
        for thread in range(threads):
            store_word(counters + thread * 64, 0)
    return -1


def dlc_patience(control, waited, impatient):
    """How many barriers from now on to yield at once: 64 after one that outlasted its spinning.

    Spinning is for when all threads run; two that share a core lose by it."""
    if waited > load_word(control + 24):
        return 64
    return max(impatient - 1, 0)


def dlc_release(control, generation):
    return atomic_store(control + 128, generation + 1)


def dlc_work(function, arguments, chunks, counters, thread, threads):
    """Run the chunks of one row that are this thread's, then those that others have left."""
    for k in range(threads):
        owner = thread + k
        if owner >= threads:
            owner -= threads
        low = idiv(owner * chunks, threads)
        count = idiv((owner + 1) * chunks, threads) - low
        counter = counters + owner * 64
        while atomic_load(counter) < count:
            i = atomic_add(counter, 1)
            if i < count:
                call_kernel(function, arguments, low + i)
    return 0


def dlc_end_step(control):
    """Count the step and decide whether the run goes on."""
    done = load_word(control + 264) + 1
    reason = -1
    if done >= load_word(control + 32):
        reason = 0
    if atomic_load(control + 192) != 0:
        reason = 2
    faults = load_word(control + 40)
    for k in range(load_word(control + 48)):
        if load_word(faults + k * 8) != 0:
            reason = 1
    store_word(control + 256, load_word(control + 256) + 1)
    store_word(control + 280, reason)
    if reason >= 0:
        store_word(control + 272, 1)
    atomic_store(control + 264, done)
    return 0


def dlc_runner(control, chunk):
    """Run the launch table once a step until steps, stop word or a fault end the run."""
    rows = load_word(control)
    count = load_word(control + 8)
    threads = load_word(control + 16)
    step = load_word(control + 256)
    spins = load_word(control + 24)
    generation = i64(0)
    impatient = i64(0)
    finished = i64(0)
    while finished == 0:
        first = i64(0)
        for r in range(count):
            row = rows + r * 64
            if imod(step, load_word(row + 32)) == load_word(row + 40):
                if load_word(row + 24) != 0:
                    waited = dlc_barrier(control, threads, generation,
                                         select(impatient > 0, 0, spins), first, r)
                    if waited < 0:
                        dlc_release(control, generation)
                    impatient = dlc_patience(control, waited, impatient)
                    generation += 1
                    first = i64(r)
                dlc_work(load_word(row), load_word(row + 8), load_word(row + 16),
                         load_word(row + 48), chunk, threads)
        waited = dlc_barrier(control, threads, generation, select(impatient > 0, 0, spins),
                             first, count)
        if waited < 0:
            dlc_end_step(control)
            dlc_release(control, generation)
        impatient = dlc_patience(control, waited, impatient)
        generation += 1
        step += 1
        finished = load_word(control + 272)
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
