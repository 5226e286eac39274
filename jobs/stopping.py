"""Signals that end a run, whoever holds the handlers.

Dagster takes over SIGINT and SIGTERM while it executes and forgets one that comes outside a step, so a run told to
stop could go on for minutes. A wake-up descriptor hears every signal without taking a handler from anyone: who is
still there after the grace is ended. Nothing is lost by that, a killed run goes on from its last finished asset.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator

STOPPED = "stopped; the same command goes on from the last finished asset\n"
GRACE_S = 10.0
"""Seconds for handlers to end the process in their own way."""
_ENDS = frozenset({signal.SIGINT, signal.SIGTERM})


@contextlib.contextmanager
def ended_by_signals(grace_s: float = GRACE_S) -> Iterator[None]:
    """Inside, SIGINT or SIGTERM ends the process with code 128 + signal after `grace_s` seconds at the latest.

    Only the main thread hears signals; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ear, mouth = socket.socketpair()
    mouth.setblocking(False)
    over = threading.Event()
    # Without a handler of Python's the default action would end the process at once, which is as good.
    before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_listen, args=(ear, over, grace_s), name="ended-by-signals", daemon=True).start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(before)
        mouth.close()


def _listen(ear: socket.socket, over: threading.Event, grace_s: float) -> None:
    with ear:
        while said := ear.recv(64):
            ends = [number for number in said if number in _ENDS]
            if ends and not over.wait(grace_s):
                sys.stderr.write(STOPPED)
                sys.stderr.flush()
                os._exit(128 + ends[0])


__all__ = ["GRACE_S", "STOPPED", "ended_by_signals"]
