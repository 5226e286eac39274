"""Composite reward of an episode, every part named and stored.

reward = success + w_action * action_checks - w_length * length (successes only) - w_repeat * min(repeats, cap)

A length penalty on failures teaches a policy to fail quickly, so it applies to successes. The end state is compared
as overlays over one base (`Environment.state_key`), never as whole databases.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pydantic import Field

from env_sim.conduct import ListedKey, Repeats, call_key, listed_action, listed_key, says_yes
from env_sim.episode import Episode
from env_sim.world import Database, Domain, Mode
from schemas import Message, RewardParts, StopReason, Task, TaskError
from schemas.records import Record


class RewardConfig(Record):
    """Weights of the parts. Success is the unit; the others must stay guardrails."""

    action_checks: float = Field(default=0.2, ge=0, le=1)
    """Added in full when every required write was done exactly and confirmed first."""
    length: float = Field(default=0.05, ge=0, le=1)
    """Subtracted from a success of `length_limit_tokens` assistant tokens, proportionally below."""
    length_limit_tokens: int = Field(default=200, ge=1)
    """Assistant tokens that cost the whole `length` weight."""
    repeat: float = Field(default=0.05, ge=0, le=1)
    """Subtracted per repeated call without progress."""
    repeat_cap: int = Field(default=3, ge=0)
    """Repeats beyond this cost nothing more: the reward stays bounded."""


def total_reward(config: RewardConfig, success: float, action_checks: float, length_tokens: int, repeats: int) -> float:
    """The weighted sum; also rescores stored parts under another config."""
    length = min(1.0, length_tokens / config.length_limit_tokens) if success else 0.0
    return (
        success
        + config.action_checks * action_checks
        - config.length * length
        - config.repeat * min(repeats, config.repeat_cap)
    )


def count_repeats(messages: Sequence[Message]) -> int:
    """Identical calls with no user message and no new tool output between them and their twin."""
    seen = Repeats()
    repeats = 0
    results = {m.tool_call_id: m.content for m in messages if m.role == "tool"}
    for message in messages:
        if message.role == "user":
            seen.user_spoke()
        for call in message.tool_calls:
            repeats += seen.add(call, results.get(call.id, ""))
    return repeats


def confirmed_writes(messages: Sequence[Message]) -> set[ListedKey]:
    """Keys (as of `listed_key`) of the listed actions that the user answered with yes."""
    found = set()
    for said, answer in pairwise(messages):
        if said.role == "assistant" and answer.role == "user" and says_yes(answer.content):
            action = listed_action(said.content)
            if action is not None:
                found.add(listed_key(action))
    return found


@dataclass
class Scorer:
    """Scores episodes of one domain; remembers each task's required end state."""

    domain: Domain
    config: RewardConfig = field(default_factory=RewardConfig)
    mode: Mode = "strict"
    _goal_states: dict[str, object] = field(init=False, default_factory=dict)

    def score(self, episode: Episode, length_tokens: int) -> RewardParts:
        """Reward parts of a finished episode; `length_tokens` counts what the policy wrote."""
        success = float(self._succeeded(episode))
        checks = self._action_checks(episode)
        repeats = count_repeats(episode.messages)
        total = total_reward(self.config, success, checks, length_tokens, repeats)
        return RewardParts(
            success=success, action_checks=checks, length_tokens=length_tokens, repeats=repeats, total=total
        )

    def _succeeded(self, episode: Episode) -> bool:
        wanted = StopReason.TRANSFER if episode.task.criteria.transfer else StopReason.USER_DONE
        if episode.stop_reason != wanted:
            return False
        return episode.environment.state_key() == self.goal_state(episode.task, episode.base)

    def goal_state(self, task: Task, base: Database) -> object:
        """State key that the criteria require.

        Raises:
            TaskError: a required write fails when replayed.
        """
        if task.task_id not in self._goal_states:
            environment = self.domain.new_environment(base, mode=self.mode)
            for action in task.criteria.writes:
                result = environment.call(action.name, dict(action.arguments))
                if result.error:
                    raise TaskError(
                        f"task[{task.task_id}]: expected required write {action.name} to succeed, "
                        f"got {result.content!r}; the task is not executable, drop it"
                    )
            self._goal_states[task.task_id] = environment.state_key()
        return self._goal_states[task.task_id]

    def _action_checks(self, episode: Episode) -> float:
        criteria = episode.task.criteria
        if criteria.transfer:
            return float(episode.stop_reason == StopReason.TRANSFER)
        confirmed = confirmed_writes(episode.messages)
        done = {call_key(w.name, w.arguments) for w in episode.writes if listed_key(w) in confirmed}
        good = sum(call_key(w.name, w.arguments) in done for w in criteria.writes)
        return good / len(criteria.writes)
