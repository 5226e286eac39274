"""Dagster's own storage inside the warehouse, so that one folder holds rows, runs and their history."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from schemas.folders import folder_of

logger = logging.getLogger(__name__)

HOME = ".dagster"
PID_TAG = "faultline/pid"
_SETTINGS = """\
telemetry:
  enabled: false
# Or a form that asks for an e-mail address lies over the first page.
nux:
  enabled: false
# One machine, two cores: a second run at the same time makes both slower, and rounds must not overtake each other.
concurrency:
  runs:
    max_concurrent_runs: 1
# Capturing a step's output would take the progress bars away from the terminal and start four processes a step;
# events and tracebacks are kept all the same.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def prepare_home(root: str) -> Path:
    """The folder that DAGSTER_HOME names, with telemetry and newsletter off."""
    home = folder_of(root) / HOME
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_SETTINGS, encoding="utf-8")
    return home


@contextlib.contextmanager
def opened_instance(root: str) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of a warehouse; runs of killed processes are marked as failed, or they would run forever."""
    home = prepare_home(root)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED, DagsterRunStatus.STARTING])):
            pid = run.tags.get(PID_TAG)
            if pid is not None and not _alive(int(pid)):
                instance.report_run_failed(run, f"its process {pid} has ended")
        yield instance


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
