"""The command line: runs one command (arguments.py lists them) and tells what went wrong."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from dlc import env, interrupt
from dlc.cli import streams
from dlc.cli.arguments import UsageError, parse
from dlc.errors import printable_lines

# User errors, reported in one message. Their modules are looked up, never loaded for it.
USER_ERRORS = (
    ("dlc.cli.arguments", "UsageError"), ("dlc.errors", "DlcError"), ("dlc.ir.types", "DTypeError"),
    ("dlc.env", "EnvError"), ("dlc.runtime.compile.cache", "CacheError"),
    ("dlc.runtime.compile.isa", "IsaError"), ("dlc.runtime.compile.workers", "CompileError"),
    ("dlc.runtime.train.training", "TrainingFault"), ("dlc.runtime.bench.systems", "BenchError"),
    ("dlc.runtime.cuda.driver", "CudaError"), ("dlc.runtime.cuda.ptx", "PtxError"),
)
USER_ERROR, BROKEN_PIPE = 2, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status.

    0 is success, 2 a user error (one message on standard error, with a traceback only under
    DLC_DEBUG), 130 Ctrl-C; a bug in dlc leaves with its traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        interrupt.as_usual()
        streams.prepare()
        env.check()
        debug = env.number("DLC_DEBUG")
        status = run(given, debug)
        sys.stdout.flush()
    except BrokenPipeError:
        streams.abandon_output()  # the reader closed the pipe
        return BROKEN_PIPE
    except env.EnvError as error:
        return complain(error)
    except KeyboardInterrupt:
        with suppress(OSError):
            print(interrupt.MESSAGE, file=sys.stderr)
        return interrupt.STATUS
    except OSError as error:  # a full disk behind `>`, a terminal that is gone
        streams.abandon_output()
        return complain(UsageError(streams.reason(error)))
    return status


def run(given: list[str], debug: int) -> int:
    """Parse `given` and run its command; user errors become a message and status 2."""
    try:
        options = parse(given)
        module = import_module(f"dlc.cli.{options.module}")
        return int(getattr(module, options.function)(options))
    except user_errors() as error:
        if debug:
            raise
        return complain(error)
    except (OSError, MemoryError) as error:
        if debug or isinstance(error, BrokenPipeError):
            raise
        sys.stdout.flush()  # if it is the output that fails, `main` reports it
        told = streams.reason(error) if isinstance(error, OSError) else str(error)
        return complain(UsageError(told or "not enough memory"))


def user_errors() -> tuple[type[Exception], ...]:
    """The classes in USER_ERRORS whose modules are loaded; others can't have been raised."""
    return tuple(getattr(sys.modules[module], name) for module, name in USER_ERRORS
                 if module in sys.modules)


def complain(error: Exception) -> int:
    """Print an error; the exit status."""
    with suppress(OSError):  # nobody is there to be told
        print(f"dlc: {printable_lines(error)}", file=sys.stderr)
    return UsageError.status if isinstance(error, UsageError) else USER_ERROR
