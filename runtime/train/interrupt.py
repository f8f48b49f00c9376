"""Ctrl-C and termination: the first asks the run to stop after its step, the second ends it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REMIND_SECONDS = 1.0


class StopRequest:
    """While entered, remembers the first SIGINT, SIGTERM or SIGHUP in `signal` instead of raising.

    A second one ends the process by that signal, at once; `leave(number)`, if given, is called
    before, and may end it in another way. `remind` is called from a thread of its own when the run
    has not ended REMIND_SECONDS after the first: it is in a long step. What is ignored (`nohup`, a
    job in the background of a script) stays ignored. In a thread that is not the main one,
    where Python sets no handlers, it leaves the signals alone.

    A run in several processes is `together`: what one of them `heard` counts once all have agreed
    on the step to stop after.
    """

    def __init__(self, remind: Callable[[], None] | None = None,
                 leave: Callable[[int], None] | None = None, together: bool = False) -> None:
        self.heard, self.agreed, self.together = 0, 0, together
        self._before: dict[signal.Signals, Any] = {}
        self._leave = leave
        self._timer = threading.Timer(REMIND_SECONDS, remind) if remind else None
        if self._timer is not None:
            self._timer.daemon = True

    @property
    def signal(self) -> int:
        """The signal to stop for after this step, 0 for none."""
        return self.agreed if self.together else self.heard

    def agree(self) -> None:
        """All processes stop after this step; one that heard nothing as if it was terminated."""
        self.agreed = self.heard or signal.SIGTERM

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._handle) for s in SIGNALS
                            if signal.getsignal(s) is not signal.SIG_IGN}
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python; it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.heard:
            if self._leave is not None:
                self._leave(number)
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.heard = number
        if self._timer is not None:
            self._timer.start()
