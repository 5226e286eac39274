"""The end of every explorer: chosen actions carried out with real calls, as a trajectory without a user.

What an explorer has found is read from its trajectory alone (`findings_of`): the writes that it did, and what the tools
refused it, which is the proof that a wish can't be granted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from env_sim.conduct import call_key
from env_sim.soundness_rules import order_findings
from env_sim.world import Database, Domain
from schemas import Action, Message, RewardParts, StopReason, ToolCall, Trajectory
from schemas.ids import canonical_json, content_id, trajectory_id

__all__ = ["Findings", "Refusal", "exploration_row", "explored", "findings_of", "why_useless"]

MAX_CALL_CHARS = 2_000
"""Arguments of one call in a kept exploration; a tool of ours needs three hundred."""


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
    return exploration_row(database_id, seed, messages, environment.writes, ("planner", made_by))


def exploration_row(
    database_id: str, seed: int, messages: Sequence[Message], writes: Sequence[Action], made_by: tuple[str, str]
) -> Trajectory:
    """The stored row of an exploration that is kept; `made_by` is the role's name and its version."""
    identity = content_id("task", [database_id, [call.model_dump() for m in messages for call in m.tool_calls]])
    return Trajectory(
        trajectory_id=trajectory_id(identity, made_by[1], 0, seed),
        task_id=identity,
        database_id=database_id,
        policy=made_by[0],
        policy_version=made_by[1],
        trial=0,
        seed=seed,
        messages=tuple(messages),
        writes=tuple(writes),
        stop_reason=StopReason.USER_DONE if writes else StopReason.TRANSFER,
        reward=RewardParts(success=1.0, action_checks=1.0, length_tokens=0, repeats=0, total=1.0),
    )


@dataclass(frozen=True)
class Refusal:
    """A write that the tools refused."""

    action: Action
    answer: str
    """The tool's words."""


@dataclass(frozen=True)
class Findings:
    """What an exploration has shown."""

    customer: str
    """Id of the customer whose records were looked at, empty when none was."""
    reads: tuple[Action, ...]
    """Calls that were answered and changed nothing, each once, without the transfer."""
    writes: tuple[Action, ...]
    refusals: tuple[Refusal, ...]
    """Proven ones: made with what had been read before, each once, and not granted later."""
    transfer: Action | None


def findings_of(domain: Domain, source: Sequence[Message]) -> Findings:
    """What the messages of an exploration show."""
    reads, writes, refusals = list[Action](), list[Action](), list[Refusal]()
    transfer, customer, read = None, "", ""
    for call, answer in _answered(source):
        if call.name in domain.write_tools:
            if not answer.error:
                writes.append(call)
            elif _is_grounded(call, read):
                refusals.append(Refusal(call, answer.content))
        elif answer.error:
            continue
        elif call.name in domain.rules.transfers:
            transfer = call
        else:
            reads.append(call)
            customer = customer or str(call.arguments.get(domain.rules.owner, ""))
            read += "\n".join(["", canonical_json(call.arguments, finite=False), answer.content])
    done = {call_key(write.name, write.arguments) for write in writes}
    refused = {call_key(r.action.name, r.action.arguments): r for r in refusals}
    return Findings(
        customer,
        tuple({call_key(call.name, call.arguments): call for call in reads}.values()),
        tuple(writes),
        tuple(refusal for key, refusal in refused.items() if key not in done),
        transfer,
    )


def why_useless(domain: Domain, base: Database, messages: Sequence[Message]) -> str:
    """Why an exploration is not kept, empty when it is: it must have changed something, or proven a refusal."""
    found = findings_of(domain, messages)
    sizes = [len(canonical_json(call.arguments, finite=False)) for call, _ in _answered(messages)]
    if max(sizes, default=0) > MAX_CALL_CHARS:
        return f"a call has more than {MAX_CALL_CHARS:,} characters"
    if not found.writes and not (found.transfer and found.refusals):
        return "nothing was changed, and no refusal was proven and handed over"
    if found.customer not in base.tables["users"]:
        return "no customer was looked up"
    if _owners(domain, messages) - {found.customer}:
        return "records of a second customer were looked at or changed"
    environment = domain.new_environment(base, mode="strict")
    for action in (*found.reads, *found.writes):
        if (result := environment.call(action.name, dict(action.arguments))).error:
            return f"{action.name} does not replay: {result.content}"[:300]
    if found.writes and environment.state_key() == domain.new_environment(base, mode="strict").state_key():
        return "the writes cancel each other"
    ordered = order_findings(domain, base, found.writes, "strict")
    return ordered[0].evidence if ordered else ""


def _answered(messages: Sequence[Message]) -> Iterator[tuple[Action, Message]]:
    answers = {message.tool_call_id: message for message in messages if message.role == "tool"}
    for message in messages:
        for call in message.tool_calls:
            yield Action(name=call.name, arguments=call.arguments), answers[call.id]


def _owners(domain: Domain, messages: Sequence[Message]) -> set[str]:
    """Customers whose records were answered with or named."""
    owners: set[str] = set()
    for call, answer in _answered(messages):
        if not answer.error:
            named, shown = call.arguments.get(domain.rules.owner), domain.rules.owner_of(answer.content)
            owners |= {str(owner) for owner in (named, shown) if owner}
    return owners


def _is_grounded(call: Action, read: str) -> bool:
    """Whether the ids of a call were read before: a refusal of made-up ones proves nothing."""
    values = [v for value in call.arguments.values() for v in (value if isinstance(value, list) else [value])]
    ids = [v for v in values if isinstance(v, str) and any(c.isdigit() for c in v)]
    return bool(ids) and all(v in read for v in ids)
