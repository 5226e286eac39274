"""One finished loop for all tests that only look at it."""

from collections.abc import Iterator

import pytest

from jobs.runner import LoopRunner
from tests.fixtures.loop import scripted_runner


@pytest.fixture(scope="session")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopRunner]:
    """Two rounds with the scripted trainer."""
    with scripted_runner(tmp_path_factory.mktemp("loop")) as runner:
        runner.run_bootstrap()
        for key in ("round-001", "round-002"):
            runner.run_round(key)
        yield runner
