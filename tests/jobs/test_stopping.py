"""A run that is told to stop stops, even while Dagster holds the signal handlers."""

import signal
import subprocess
import sys
import time

import pytest

SWALLOWS = """
import sys, time
from dagster._utils.interrupts import capture_interrupts
from jobs.stopping import ended_by_signals
with ended_by_signals(grace_s=0.2), capture_interrupts():
    print("ready", flush=True)
    for _ in range(300):
        time.sleep(0.1)
"""
FINISHES = """
import os, signal, time
from jobs.stopping import ended_by_signals
signal.signal(signal.SIGTERM, lambda *_: None)
with ended_by_signals(grace_s=0.2):
    os.kill(os.getpid(), signal.SIGTERM)
time.sleep(0.5)
print("done", flush=True)
"""


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_dagster_swallows_ends_the_run_after_the_grace(sent: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", SWALLOWS], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stdout.readline() == b"ready\n"
        begin = time.monotonic()
        run.send_signal(sent)
        _, told = run.communicate(timeout=20)
    assert run.returncode == 128 + sent
    assert time.monotonic() - begin < 10
    assert b"goes on from the last finished asset" in told


def test_a_run_that_ends_within_the_grace_ends_in_its_own_way() -> None:
    run = subprocess.run([sys.executable, "-c", FINISHES], capture_output=True, check=False, timeout=20)
    assert (run.returncode, run.stdout) == (0, b"done\n")
