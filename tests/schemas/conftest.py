"""Builders of valid rows with defaults, and an empty warehouse."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from schemas import (
    Action,
    Criteria,
    Detail,
    Explanation,
    GateResult,
    Goal,
    Identity,
    Intent,
    Message,
    PoolTask,
    RewardParts,
    RlRollout,
    Scenario,
    StopReason,
    Task,
    TaskOutcome,
    ToolCall,
    TrainStep,
    Trajectory,
    Verdict,
)
from schemas.store import Warehouse

CANCEL = Action(name="cancel_pending_order", arguments={"order_id": "#W1", "reason": "no longer needed"})


def make_task(task_id: str = "task-1", *, pattern: str = "wrong_variant") -> Task:
    goal = Goal(request="cancel my order", action=CANCEL, details=(Detail(topic="reason", text="I changed my mind"),))
    person = Identity(user_id="u1", first_name="Ann", last_name="Lee", zip="10001")
    return Task(
        task_id=task_id,
        domain="retail",
        database_id="db-1",
        intent=Intent.AMBIGUOUS,
        pattern=pattern,
        scenario=Scenario(identity=person, opening="hello", goals=(goal,), raised_in_opening=1, patience=4),
        reference=(CANCEL,),
        criteria=Criteria(writes=(CANCEL,)),
        made_by="test/1",
    )


def trajectory_fields(number: int, *, success: float = 1.0) -> dict[str, object]:
    call = ToolCall(id="c1", name=CANCEL.name, arguments=CANCEL.arguments)
    return {
        "trajectory_id": f"traj-{number}",
        "task_id": f"task-{number}",
        "policy": "sft",
        "policy_version": "ckpt-1",
        "trial": 0,
        "seed": number,
        "messages": (Message(role="user", content="hi"), Message(role="assistant", tool_calls=(call,))),
        "writes": (CANCEL,),
        "stop_reason": StopReason.USER_DONE,
        "reward": RewardParts(success=success, action_checks=0.5, length_tokens=12, repeats=1, total=success - 0.25),
        "token_ids": (1, 2, 3),
        "assistant_mask": (False, True, True),
        "logprobs": (0.0, -0.5, -1.25),
    }


def make_trajectory(number: int = 1, *, success: float = 1.0) -> Trajectory:
    return Trajectory.model_validate(trajectory_fields(number, success=success))


def make_rl_rollout(number: int, *, train_step: int, success: float) -> RlRollout:
    own = {"train_step": train_step, "group_id": f"g{number}", "advantage": 0.5}
    return RlRollout.model_validate(trajectory_fields(number, success=success) | own)


def make_outcome(task_id: str, *, pattern: str = "none", n_successes: int = 1) -> TaskOutcome:
    return TaskOutcome(
        policy="sft",
        policy_version="ckpt-1",
        task_id=task_id,
        pattern=pattern,
        n_trials=4,
        n_successes=n_successes,
        n_excluded=0,
        seed=1,
    )


def make_gate(table: str, round: str, *, gate: str = "not_empty", passed: bool = True, message: str = "") -> GateResult:
    return GateResult(
        table=table, round=round, gate=gate, passed=passed, n_rows=1, numbers={"b": 2.0, "a": 1.0}, message=message
    )


def make_pool_task(task_id: str, *, pattern: str = "wrong_variant", added_in: str = "round-001") -> PoolTask:
    return PoolTask(task=make_task(task_id, pattern=pattern), added_in=added_in, weight=1.0)


def make_verdict(task_id: str, *, reason: str = "ok") -> Verdict:
    return Verdict(task=make_task(task_id), executable=reason == "ok", reason=reason)


def make_explanation(number: int, *, text: str = "it never asked") -> Explanation:
    return Explanation(
        explanation_id=f"e{number}",
        trajectory_id=f"traj-{number}",
        task_id=f"task-{number}",
        text=text,
        blame="agent",  # type: ignore[arg-type]
        decisive_turn=1,
        evidence_turns=(0, 1),
        pattern="wrong_variant",
        made_by="test/1",
    )


def make_step(step: int) -> TrainStep:
    return TrainStep(policy="sft", stage="sft", step=step, loss=0.5, learning_rate=1e-3, n_tokens=10, duration_s=0.1)


@pytest.fixture
def make() -> SimpleNamespace:
    """All builders by the name of what they build."""
    builders: dict[str, Callable[..., object]] = {
        "task": make_task,
        "trajectory": make_trajectory,
        "rl_rollout": make_rl_rollout,
        "outcome": make_outcome,
        "gate": make_gate,
        "pool_task": make_pool_task,
        "verdict": make_verdict,
        "explanation": make_explanation,
        "step": make_step,
    }
    return SimpleNamespace(**builders)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    """An empty warehouse."""
    return Warehouse.open(tmp_path / "warehouse")


@pytest.fixture
def filled(warehouse: Warehouse, make: SimpleNamespace) -> Warehouse:
    """A small warehouse: pool of two rounds, verdicts, outcomes, training episodes."""
    first = [make.pool_task("t1"), make.pool_task("t2", pattern="changing_intent")]
    warehouse.replace_round("task_pool", "round-001", first)
    warehouse.replace_round("task_pool", "round-002", [*first, make.pool_task("t3", added_in="round-002")])
    verdicts = [make.verdict("t1"), make.verdict("t2", reason="no-op"), make.verdict("t4", reason="no-op")]
    warehouse.replace_round("executable_tasks", "round-001", verdicts)
    outcomes = [make.outcome("t1", pattern="a", n_successes=1), make.outcome("t2", pattern="a", n_successes=3)]
    warehouse.replace_round("validation_outcomes", "round-001", [*outcomes, make.outcome("t3", pattern="b")])
    rollouts = [make.rl_rollout(n, train_step=n // 2, success=float(n % 2)) for n in range(4)]
    warehouse.replace_round("rl_rollouts", "round-001", rollouts)
    return warehouse
