"""What a model that plays a user is told, and how it is asked: settings, prompt, the scenario in words.

By kind it is not told the ids of what it wants: what a model does not know it can't give away.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from env_sim.chat.prompts import Prompt, load_prompt
from env_sim.chat.wire import defang
from env_sim.dialogue import value_text
from schemas import Action, Confirmation, Goal, Identity, Message, Remark, Scenario, When

__all__ = ["LlmUserConfig", "user_prompt", "user_prompt_text"]

PROMPT = Path(__file__).parent.parent / "prompts" / "user.md"
MAX_HEARD_CHARS = 4_000
"""Of one assistant message, as the user sees it: nobody reads more in a chat."""
MAX_TALK_CHARS = 80_000
"""Of the talk, as the user sees it; the oldest messages go first."""


class LlmUserConfig(BaseModel):
    """How a model is asked to play users."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repairs: int = Field(default=3, ge=0, le=10)
    """How often a reply is sent back with what is wrong with it: its form, or a breach of the scenario. Then the
    episode ends as the user's fault."""


def user_prompt() -> Prompt:
    """The prompt file."""
    return load_prompt(PROMPT)


def user_prompt_text(scenario: Scenario, messages: Sequence[Message]) -> str:
    """The whole prompt of the user's next message: what it knows, and the talk as it sees it."""
    by_detail = scenario.confirmation is Confirmation.BY_DETAIL
    wishes = [
        "\n".join(_wish_lines(number, scenario, goal, by_detail)) for number, goal in enumerate(scenario.goals, 1)
    ]
    unknown = [f"Asked about {topic} you say that you do not know." for topic in scenario.unknown]
    return user_prompt().fill(
        identity=_identity(scenario.identity),
        wishes="\n".join([*wishes, *unknown]),
        confirmation=_BY_DETAIL if by_detail else _BY_KIND,
        patience=str(scenario.patience),
        dialogue=_talk(messages),
    )


_BY_KIND = """When the agent lists an action and asks for your yes: begin with "yes" when it is the kind of action you
want; you do not know the ids and can't check them. To another kind of action say no and repeat your wish."""
_BY_DETAIL = """When the agent lists an action and asks for your yes: begin with "yes" only when all of it is what you
want. Otherwise say no, and which part is wrong, but never which value would be right."""


def _identity(who: Identity) -> str:
    lines = [f"- name: {who.first_name} {who.last_name}"]
    lines += [f"- email: {who.email}"] if who.email else ["- email: you do not remember it"]
    lines += [f"- zip code: {who.zip}"] if who.zip else []
    lines += [f"- user id: {who.user_id}"] if not who.email and not who.zip else []
    return "\n".join(lines)


def _wish_lines(number: int, scenario: Scenario, goal: Goal, by_detail: bool) -> Iterator[str]:
    raised = "said in your first message" if number <= scenario.raised_in_opening else "not said yet"
    yield f'{number}. "{goal.request}" ({raised})'
    yield from _action_lines("What you want done", goal.action, by_detail)
    for detail in goal.details:
        yield f'   - only when asked about {detail.topic}: "{detail.text}"'
    for remark in (*((goal.change,) if goal.change else ()), *goal.remarks):
        yield f'   - {_point(remark)}: "{remark.text}"'
    if goal.change:
        yield from _action_lines("What you want from then on", goal.change.action, by_detail)
    if goal.hesitation:
        yield f'   - when an action is listed for the first time, in place of yes: "{goal.hesitation}"'
        yield "     When the same is listed again, yes."
    for place, preference in enumerate(goal.preferences, 1):
        yield f'   - at refusal number {place}: "{preference}"'
    if goal.accepted is None:
        yield "   - when it is refused and nothing else is to be said, you accept that"
    else:
        yield "   - when it is refused and nothing else is to be said, you insist"


def _action_lines(said: str, action: Action | None, by_detail: bool) -> Iterator[str]:
    if action is None:
        return
    yield f"   - {said}: {action.name.replace('_', ' ')}"
    if by_detail:
        arguments = "; ".join(f"{key}: {value_text(value)}" for key, value in action.arguments.items())
        yield f"     You recognise this when it is listed and never say it yourself: {arguments}"


def _point(remark: Remark) -> str:
    match remark.when:
        case When.LISTING:
            return "the first time that the agent lists this for your yes, in place of the answer"
        case When.QUESTION:
            return f"at the agent's question number {remark.n} about this, or at its first listing, if that is sooner"
        case When.MESSAGE:
            return f"at the agent's message number {remark.n} about this, or at its first listing, if that is sooner"


def _talk(messages: Sequence[Message]) -> str:
    """What was said aloud, the newest that fits; a line break inside a message could pass for the next one."""
    lines: list[str] = []
    n_chars = 0
    for message in reversed(messages):
        if message.role == "user" or (message.role == "assistant" and not message.tool_calls):
            said = " / ".join(defang(message.content, MAX_HEARD_CHARS).splitlines())
            lines.append(f"{'you' if message.role == 'user' else 'agent'}: {said.replace('dialogue>', 'dialogue')}")
            n_chars += len(lines[-1])
            if n_chars > MAX_TALK_CHARS:
                break
    return "\n".join(reversed(lines))
