"""Only what may pass is tried again."""

from collections.abc import Iterator

import dagster as dg
import pytest

from assets import retries
from assets.retries import MAX_RETRIES, retried
from jobs.definitions import defs
from schemas import CheckpointError, ConcurrentWriteError, ConfigError, FaultlineError, TransientError, errors


def attempts(error: Exception, failures: int, *, several: bool) -> tuple[bool, int]:
    """Whether a run with a step that fails so often succeeds, and how often the step was tried."""
    tried: list[int] = []

    def fail() -> None:
        tried.append(1)
        if len(tried) <= failures:
            raise error

    @dg.asset
    @retried
    def one(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        fail()
        return dg.MaterializeResult()

    @dg.multi_asset(specs=[dg.AssetSpec("two")])
    @retried
    def two(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult]:
        fail()
        yield dg.MaterializeResult(asset_key="two")

    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize([two if several else one], instance=instance, raise_on_error=False).success, len(tried)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "WAIT_S", 0.0)


@pytest.mark.parametrize("several", [False, True])
def test_a_transient_error_is_tried_again_until_it_passes(several: bool):
    assert attempts(ConcurrentWriteError("busy"), 2, several=several) == (True, 3)


def test_a_transient_error_that_does_not_pass_ends_after_a_few_attempts():
    assert attempts(ConcurrentWriteError("busy"), 99, several=False) == (False, 1 + MAX_RETRIES)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("error", [ConfigError("wrong"), CheckpointError("torn"), RuntimeError("a bug")])
def test_a_permanent_error_is_never_tried_again(error: Exception, several: bool):
    assert attempts(error, 1, several=several) == (False, 1)


def test_every_asset_and_check_is_under_this_rule():
    steps = {
        node.name: node for job in ("bootstrap", "one_round", "ablation") for node in defs.resolve_job_def(job).nodes
    }
    bodies = {name: node.definition.compute_fn.decorated_fn for name, node in steps.items()}
    assert len(bodies) > 20
    assert [name for name, body in bodies.items() if not hasattr(body, "__wrapped__")] == []
    assert all(node.definition.retry_policy is None for node in steps.values())


def test_transient_errors_are_few_and_named():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, FaultlineError)]
    assert {kind.__name__ for kind in kinds if issubclass(kind, TransientError)} == {
        "ConcurrentWriteError",
        "EndpointUnavailableError",
        "TransientError",
    }
