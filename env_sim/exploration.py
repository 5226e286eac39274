"""The end of every explorer: chosen actions carried out with real calls, as a trajectory without a user."""

from collections.abc import Sequence

from env_sim.soundness_rules import order_findings
from env_sim.world import Database, Domain
from schemas import Action, Message, RewardParts, StopReason, ToolCall, Trajectory
from schemas.ids import content_id, trajectory_id

__all__ = ["explored"]


def explored(
    domain: Domain, base: Database, database_id: str, seed: int, actions: Sequence[Action], made_by: str
) -> Trajectory | None:
    """The trajectory of these calls; None when one is refused or the end state depends on the order of the writes."""
    environment = domain.new_environment(base, mode="strict")
    messages: list[Message] = []
    for number, action in enumerate(actions, start=1):
        call = ToolCall(id=f"call-{number}", name=action.name, arguments=action.arguments)
        result = environment.call(action.name, dict(action.arguments))
        if result.error:
            return None
        messages.append(Message(role="assistant", tool_calls=(call,)))
        messages.append(Message(role="tool", content=result.content, tool_call_id=call.id))
    # Criteria hold in any order: not two new home addresses, no purchase with money that the other wish pays back.
    if order_findings(domain, base, environment.writes, "strict"):
        return None
    identity = content_id("task", [database_id, [call.model_dump() for m in messages for call in m.tool_calls]])
    return Trajectory(
        trajectory_id=trajectory_id(identity, made_by, 0, seed),
        task_id=identity,
        database_id=database_id,
        policy="planner",
        policy_version=made_by,
        trial=0,
        seed=seed,
        messages=tuple(messages),
        writes=tuple(environment.writes),
        stop_reason=StopReason.USER_DONE if environment.writes else StopReason.TRANSFER,
        reward=RewardParts(success=1.0, action_checks=1.0, length_tokens=0, repeats=0, total=1.0),
    )
