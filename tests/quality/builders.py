"""Small well-formed records for the tests of this room; every builder takes what a test wants to differ."""

from collections.abc import Mapping
from types import MappingProxyType

from schemas import (
    Action,
    Blame,
    Criteria,
    DatabaseRow,
    EntityIds,
    Explanation,
    Goal,
    Identity,
    Intent,
    Message,
    PassHatK,
    RewardParts,
    Scenario,
    StopReason,
    Task,
    TaskOutcome,
    ToolCall,
    TrainStep,
    Trajectory,
)
from schemas.ids import task_id


def make_database(
    index: int = 0, split: str = "train", listed: Mapping[str, str] = MappingProxyType({}), **changes: object
) -> DatabaseRow:
    """A database with one user whose entities carry split and index."""
    tag = f"{split}{index}"
    row = {
        "database_id": f"db-{tag}",
        "domain": "retail",
        "split": split,
        "generator_version": 1,
        "seed": index,
        "n_users": 1,
        "content_sha256": f"sha-{tag}",
    }
    ids = {"user_ids": f"user_{tag}", "order_ids": f"#W{tag}", "product_ids": f"p{tag}", "item_ids": f"i{tag}"} | listed
    entities = [EntityIds(kind=kind, ids=(entity_id,)) for kind, entity_id in ids.items()]
    return DatabaseRow.model_validate(row | {"entities": entities} | changes)


def make_task(index: int = 0, split: str = "train", **changes: object) -> Task:
    """A task with one goal: cancel one order. `index` makes wording and id unique."""
    action = Action(name="cancel_pending_order", arguments={"order_id": f"#W{index}", "reason": "no longer needed"})
    identity = Identity(user_id=f"user_{split}0", first_name="Mei", last_name="Kovacs", zip="10001")
    scenario = Scenario(
        identity=identity,
        opening=f"please cancel my order {index}",
        goals=(Goal(request="cancel it", action=action),),
        raised_in_opening=1,
        patience=4,
    )
    fields: dict[str, object] = {
        "domain": "retail",
        "database_id": f"db-{split}0",
        "intent": Intent.PLAIN,
        "pattern": "none",
        "scenario": scenario,
        "reference": (action,),
        "criteria": Criteria(writes=(action,)),
        "made_by": "grammar-writer/1",
        **changes,
    }
    keys = ("domain", "database_id", "intent", "pattern", "scenario", "reference", "criteria")
    derived = task_id(**{key: fields[key] for key in keys})  # type: ignore[arg-type]
    return Task.model_validate({"task_id": derived} | fields)


def make_messages(order: str = "#W0000001") -> tuple[Message, ...]:
    """A dialogue of six turns with one tool call."""
    call = ToolCall(id="call-1", name="cancel_pending_order", arguments={"order_id": order})
    return (
        Message(role="user", content="please cancel my order"),
        Message(role="assistant", content=f"I will cancel {order}. ok?"),
        Message(role="user", content="yes"),
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="Error: Order not found", tool_call_id="call-1", error=True),
        Message(role="assistant", content="done"),
    )


def make_trajectory(index: int = 0, success: float = 0.0, **changes: object) -> Trajectory:
    """An episode of three tokens that failed unless told otherwise; total = success."""
    fields: dict[str, object] = {
        "trajectory_id": f"traj-{index}",
        "task_id": "task-0",
        "policy": "sft",
        "policy_version": "ckpt-sft",
        "trial": index,
        "seed": 0,
        "messages": make_messages(),
        "stop_reason": StopReason.USER_DONE,
        "reward": RewardParts(success=success, action_checks=0, length_tokens=2, repeats=0, total=success),
        "token_ids": (5, 6, 7),
        "assistant_mask": (False, True, True),
        "logprobs": (0.0, -0.5, -0.1),
    }
    return Trajectory.model_validate(fields | changes)


def make_explanation(
    index: int = 0, text: str = "the agent cancelled the wrong order", **changes: object
) -> Explanation:
    """The explanation of `make_trajectory(index)`."""
    fields: dict[str, object] = {
        "explanation_id": f"why-{index:04d}",
        "trajectory_id": f"traj-{index}",
        "task_id": "task-0",
        "text": text,
        "blame": Blame.AGENT,
        "decisive_turn": 3,
        "evidence_turns": (3, 4),
        "pattern": "wrong_order",
        "made_by": "diff-judge/1",
    }
    return Explanation.model_validate(fields | changes)


def make_outcome(task: str = "t0", successes: int = 2, trials: int = 4, **changes: object) -> TaskOutcome:
    """Outcome of one task."""
    fields: dict[str, object] = {
        "policy": "sft",
        "policy_version": "v",
        "task_id": task,
        "pattern": "wrong_order",
        "n_trials": trials,
        "n_successes": successes,
        "n_excluded": 0,
        "seed": 0,
    }
    return TaskOutcome.model_validate(fields | changes)


def make_pass_hat_k(policy: str = "base", k: int = 1, value: float = 0.5, **changes: object) -> PassHatK:
    """One line of a report."""
    fields: dict[str, object] = {
        "policy": policy,
        "policy_version": f"v-{policy}",
        "k": k,
        "pass_hat_k": value,
        "ci_low": max(0.0, value - 0.1),
        "ci_high": min(1.0, value + 0.1),
        "n_tasks": 50,
        "n_trials": 200,
        "n_excluded": 0,
        "seed": 0,
    }
    return PassHatK.model_validate(fields | changes)


def make_step(step: int = 0, stage: str = "grpo", **changes: object) -> TrainStep:
    """One training step."""
    fields: dict[str, object] = {
        "policy": "rl-round-001",
        "stage": stage,
        "step": step,
        "loss": 0.5,
        "learning_rate": 1e-3,
        "n_tokens": 100,
        "duration_s": 1.0,
    }
    return TrainStep.model_validate(fields | changes)
