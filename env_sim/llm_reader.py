"""A reader at a chat endpoint: from the words of a task and the tools that read, back to its actions.

It sees what a solver could learn and no more: the words, the facts told on asking, the remarks, and whatever it looks
up itself. The source's own reads are not shown: they hold the meant records alone, so that nothing would be left to
confuse. What it says is compared by the end state that its actions reach. The prompt lies in `prompts/reader.md`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from env_sim.chat.client import ChatModel, ChatRequest
from env_sim.chat.episodes import call_seed, play_chat
from env_sim.chat.prompts import load_prompt
from env_sim.chat.structured import ask, parse, response_format
from env_sim.chat.tool_loop import Budget, Desk, work
from env_sim.chat.wire import as_wire, defang
from env_sim.episode import Episode
from env_sim.llm_configs import LlmReaderConfig
from env_sim.reward import Scorer
from env_sim.world import Database, Domain
from schemas import Identity, Task
from schemas.errors import ContextOverflowError
from schemas.ids import canonical_json

__all__ = ["LlmReader", "Reading", "learnable", "misread"]

PROMPT = Path(__file__).parent / "prompts" / "reader.md"


class ReadAction(BaseModel):
    """A call, as the reader would make it."""

    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=100)
    arguments: dict[str, JsonValue] = Field(default_factory=dict)


class Reading(BaseModel):
    """What the reader makes of a task."""

    model_config = ConfigDict(extra="ignore")

    actions: list[ReadAction] = Field(max_length=20)
    transfer: bool = False
    why: str = Field(default="", max_length=2000)


@dataclass(frozen=True)
class LlmReader:
    """Reads tasks with a model; concurrency, retries and cache are the model's."""

    model: ChatModel
    domain: Domain
    config: LlmReaderConfig
    output: str = "json_schema"
    """How the schema is asked for, as in `Endpoint.output`."""

    async def misread(self, task: Task, base: Database) -> str:
        """What differs between the reader's actions and the task's, empty when nothing does.

        Raises:
            ChatError: When the endpoint gives no reply.
        """
        try:
            said, problem = await self._read(task, base)
        except ContextOverflowError:
            return "the reader's look-ups outgrew the context window"
        if said is None:
            return _clean(f"the reader's reply could not be read: {problem}")
        return misread(self.domain, base, task, said)

    async def _read(self, task: Task, base: Database) -> tuple[Reading | None, str]:
        """What the reader says, or None and why its last reply didn't fit."""
        tools = [each for each in self.domain.tool_schemas() if each["function"]["name"] in self._reads]
        budget = Budget(self.config.max_calls, self.config.max_calls)
        desk = Desk(self.domain.new_environment(base), budget, self._reads)
        request = self._request(task)
        said = await work(self.model, request, desk, tools)
        value, problem = parse(said, Reading)
        if value is not None or (said and self.config.repairs == 0):
            return value, problem
        told = f"That does not fit: {problem}" if said else "No further call is possible."
        messages = [
            *request.messages,
            *as_wire(desk.messages),
            *([{"role": "assistant", "content": defang(said)}] if said else []),
            {"role": "user", "content": f"{told}\nAnswer now, with one JSON object that fits and nothing else."},
        ]
        again = replace(request, messages=messages, tools=tools, response_format=response_format(Reading, self.output))
        answer = await ask(self.model, again, Reading, repairs=max(0, self.config.repairs - 1))
        return answer.value, answer.parse_error

    @property
    def _reads(self) -> frozenset[str]:
        names = {each["function"]["name"] for each in self.domain.tool_schemas()}
        return frozenset(names - self.domain.write_tools - self.domain.rules.transfers)

    def _request(self, task: Task) -> ChatRequest:
        prompt = load_prompt(PROMPT)
        text = prompt.fill(rulebook=self.domain.rulebook(), words=learnable(task), max_calls=str(self.config.max_calls))
        messages = [{"role": "user", "content": text}]
        return ChatRequest(messages, seed=call_seed(0, task.task_id), prompt_version=prompt.version)

    async def solves(self, task: Task, base: Database) -> bool:
        """Whether the model, as the agent, succeeds in one of its tries.

        Raises:
            ChatError: When the endpoint refuses for good.
        """
        for trial in range(self.config.n_tries):
            episode = Episode(task, self.domain, base)
            seed = call_seed(trial, task.task_id)
            await play_chat(self.model, episode, self.domain.rulebook(), self.domain.tool_schemas(), seed)
            if Scorer(self.domain).score(episode, 0).success >= 1:
                return True
        return False


def learnable(task: Task) -> str:
    """What a solver can learn from the user of a task, as JSON: no action, nothing that is never said."""
    scenario = task.scenario
    wishes = [
        {
            "request": goal.request,
            "told when asked": {detail.topic: detail.text for detail in goal.details},
            "brought up later": [remark.text for remark in goal.remarks],
            "said instead of yes, as a change of mind": goal.change.text if goal.change else None,
            "said after a refusal": list(goal.preferences),
        }
        for goal in scenario.goals
    ]
    return canonical_json({"opening": scenario.opening, "says who it is": _who(scenario.identity), "wishes": wishes})


def _who(who: Identity) -> str:
    if who.email:
        return f"my email is {who.email}"
    if who.zip is None:
        return f"my user id is {who.user_id}"
    return f"my name is {who.first_name} {who.last_name}, zip code {who.zip}"


def misread(domain: Domain, base: Database, task: Task, said: Reading) -> str:
    """How a reading differs from what a task requires, empty when it reaches the same end."""
    environment = domain.new_environment(base, mode="strict")
    writes = [action for action in said.actions if action.name in domain.write_tools]
    for action in writes:
        if (result := environment.call(action.name, dict(action.arguments))).error:
            return _clean(f"the reader's {action.name} is refused: {result.content}")
    transfer = said.transfer or any(action.name in domain.rules.transfers for action in said.actions)
    if transfer != task.criteria.transfer:
        return "the reader would hand over" if transfer else "the reader would not hand over"
    if environment.state_key() != Scorer(domain).goal_state(task, base):
        return _clean(f"the reader would do {_listed(writes)} ({said.why})")
    return ""


def _listed(writes: Sequence[ReadAction]) -> str:
    return ", ".join(f"{w.name} {_spelled(w.arguments)}" for w in writes) or "nothing"


def _spelled(arguments: Mapping[str, JsonValue]) -> str:
    return canonical_json(arguments, finite=False)


def _clean(text: str) -> str:
    """A model's words for a row: bounded, no halves of surrogate pairs."""
    return defang(text)[:400]
