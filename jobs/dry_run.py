"""What a run would ask of models, by role: calls, tokens, cost, time. Asks nothing and writes nothing.

Counts come from the profile. What nobody knows before (how often the policy fails, how long dialogues get, how fast a
server writes) is an assumption, printed with the result. A role without an entry in `LOADS` is named, not guessed.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from assets.profile import Profile
from env_sim import load_domain
from env_sim.chat.endpoint import Endpoint

__all__ = ["LOADS", "Estimate", "Load", "Scope", "dry_run_text", "estimate"]

FAILED_SHARE = 0.5
"""Of the validation episodes; a weak policy fails more, a strong one less."""
AGENT_MESSAGES = 12
"""Per episode: what the longest references need is about 20."""
USER_MESSAGES = 5
"""Per episode."""
MESSAGE_TOKENS = 60
"""Of one message of either party."""
RESULT_TOKENS = 200
"""Of one tool's result."""
VERDICT_TOKENS = 200
"""Of a judge's or a writer's reply."""
CHARS_PER_TOKEN = 4
"""Of English and JSON."""
TOKENS_PER_S = 40
"""Of one reply while it is written."""
FIRST_TOKEN_S = 0.5
"""Until a reply begins."""

ASSUMED = (
    f"{FAILED_SHARE:.0%} of the validation episodes fail; an episode has {AGENT_MESSAGES} messages of the agent and "
    f"{USER_MESSAGES} of the user, of {MESSAGE_TOKENS} tokens each, and results of {RESULT_TOKENS}; a judgement or a "
    f"written task has {VERDICT_TOKENS}; {CHARS_PER_TOKEN} characters are a token; a server begins a reply after "
    f"{FIRST_TOKEN_S:g} s and writes {TOKENS_PER_S} tokens a second. Nothing is retried, repaired or cached."
)


@dataclass(frozen=True)
class Scope:
    """What would be run."""

    profile: Profile
    n_rounds: int
    """Rounds of it."""
    with_bootstrap: bool
    """Whether what lies before the loop is part of it."""

    @property
    def n_validation(self) -> int:
        """Validation episodes."""
        return self.n_rounds * self.profile.tasks.validation * self.profile.trials.validation

    @property
    def n_test(self) -> int:
        """Test episodes, the baseline's included."""
        profile = self.profile
        n_policies = (2 if profile.trains else 1) * self.with_bootstrap + self.n_rounds * profile.trains
        return n_policies * profile.tasks.test * profile.trials.test

    @property
    def n_injected(self) -> int:
        """Tasks written."""
        return self.n_rounds * self.profile.injection.tasks_per_round


@dataclass(frozen=True)
class Load:
    """What one role is asked."""

    n_calls: float
    """Calls."""
    input_tokens: float
    """Of a call."""
    output_tokens: float
    """Of a call."""
    counted_from: str
    """In words."""


@dataclass(frozen=True)
class Estimate:
    """What one role would cost."""

    role: str
    endpoint: Endpoint
    load: Load

    @property
    def input_tokens(self) -> float:
        """Of all calls."""
        return self.load.n_calls * self.load.input_tokens

    @property
    def output_tokens(self) -> float:
        """Of all calls, within the bound of one."""
        return self.load.n_calls * min(self.load.output_tokens, self.endpoint.max_tokens)

    @property
    def cost_usd(self) -> float:
        """By the endpoint's prices."""
        return self.endpoint.cost_usd(round(self.input_tokens), round(self.output_tokens))

    @property
    def duration_s(self) -> tuple[float, str]:
        """Least time, and what bounds it."""
        a_call_s = FIRST_TOKEN_S + min(self.load.output_tokens, self.endpoint.max_tokens) / TOKENS_PER_S
        at_once_s = self.load.n_calls * a_call_s / self.endpoint.max_concurrent
        per_minute = self.endpoint.tokens_per_minute
        budget_s = (self.input_tokens + self.output_tokens) * 60 / per_minute if per_minute else 0.0
        return max((at_once_s, "max_concurrent"), (budget_s, "tokens_per_minute"))


def _rulebook_tokens(scope: Scope) -> float:
    return len(load_domain(scope.profile.domain).rulebook()) / CHARS_PER_TOKEN


def _tools_tokens(scope: Scope) -> float:
    return len(json.dumps(load_domain(scope.profile.domain).tool_schemas())) / CHARS_PER_TOKEN


def _dialogue_tokens() -> float:
    return AGENT_MESSAGES * (MESSAGE_TOKENS + RESULT_TOKENS) + USER_MESSAGES * MESSAGE_TOKENS


def _served_policy(scope: Scope) -> Load:
    role, profile = scope.profile.served_policy, scope.profile
    n_test, n_validation = scope.n_test, scope.n_validation
    if role.speaks == "tokens":
        # One checkpoint of several: it is tested once, and validated in the round that it opens.
        n_test = profile.tasks.test * profile.trials.test
        n_validation = min(n_validation, profile.tasks.validation * profile.trials.validation)
    prompt = _rulebook_tokens(scope) + _tools_tokens(scope) + _dialogue_tokens() / 2
    told = f"{n_validation:,} validation and {n_test:,} test episodes"
    return Load((n_validation + n_test) * AGENT_MESSAGES, prompt, MESSAGE_TOKENS, told)


def _judge(scope: Scope) -> Load:
    n_failed, n_votes = scope.n_validation * FAILED_SHARE, scope.profile.judge.asking.n_votes
    told = f"{n_failed:,.0f} failures x {n_votes} votes"
    return Load(n_failed * n_votes, _rulebook_tokens(scope) + _dialogue_tokens() + 500, VERDICT_TOKENS, told)


def _user(scope: Scope) -> Load:
    n_episodes = scope.n_validation + scope.n_test
    told = f"{n_episodes:,} validation and test episodes"
    return Load(n_episodes * USER_MESSAGES, 500 + _dialogue_tokens() / 2, MESSAGE_TOKENS, told)


def _explorer(scope: Scope) -> Load:
    prompt = _rulebook_tokens(scope) + _tools_tokens(scope) + _dialogue_tokens() / 2
    told = f"{scope.n_injected:,} tasks, one exploration each"
    return Load(scope.n_injected * AGENT_MESSAGES, prompt, MESSAGE_TOKENS, told)


def _writer(scope: Scope) -> Load:
    return Load(scope.n_injected, 1000 + _dialogue_tokens(), VERDICT_TOKENS, f"{scope.n_injected:,} tasks")


def _reader(scope: Scope) -> Load:
    prompt = _rulebook_tokens(scope) + _tools_tokens(scope) + 500
    return Load(scope.n_injected, prompt, VERDICT_TOKENS, f"{scope.n_injected:,} tasks read back")


def _embedder(scope: Scope) -> Load:
    n_failed, n_tasks = scope.n_validation * FAILED_SHARE, scope.n_injected
    told = f"{n_failed:,.0f} explanations, grouped and stored, and {n_tasks:,} tasks, each a call at most"
    return Load(2 * n_failed + n_tasks, MESSAGE_TOKENS, 0, told)


def _labels(scope: Scope) -> Load:
    n_clusters = 12 * scope.n_rounds
    return Load(n_clusters, 10 * MESSAGE_TOKENS, 20, f"{n_clusters} clusters, about 12 a round")


LOADS: Mapping[str, Callable[[Scope], Load]] = {
    "served_policy": _served_policy,
    "judge": _judge,
    "user": _user,
    "explorer": _explorer,
    "writer": _writer,
    "reader": _reader,
    "clusters.embedder": _embedder,
    "clusters.labels": _labels,
}
"""What each role is asked, by its key in the profile."""


def estimate(scope: Scope) -> list[Estimate]:
    """One estimate per role that a model plays, in the profile's order; roles without an entry are left out."""
    known = [(role, endpoint) for role, endpoint in scope.profile.endpoints().items() if role in LOADS]
    return [Estimate(role, endpoint, LOADS[role](scope)) for role, endpoint in known]


def dry_run_text(scope: Scope) -> str:
    """The estimates as a table, what they are counted from and assume, and which roles cost nothing."""
    rows, roles = estimate(scope), scope.profile.roles()
    free = [role for role, endpoint in roles.items() if endpoint is None]
    unknown = [role for role, endpoint in roles.items() if endpoint is not None and role not in LOADS]
    what = f"{scope.n_rounds} round{'s' * (scope.n_rounds != 1)}"
    lines = [f"profile {scope.profile.name}: what {what}{' and what lies before' * scope.with_bootstrap} would ask", ""]
    lines += _table(rows)
    lines += ["", *(f"{row.role}: {row.load.counted_from}" for row in rows)]
    lines += [f"not estimated: {', '.join(unknown)}"] if unknown else []
    lines += [f"without an endpoint, at no cost: {', '.join(free)}"] if free else []
    if not scope.profile.trains:
        lines.append("nothing is trained: the served model is played, diagnosed and written tasks for")
    return "\n".join([*lines, "", f"Assumed: {ASSUMED}", "Nothing was asked, nothing was written."])


def _table(rows: list[Estimate]) -> list[str]:
    if not rows:
        return ["No role is played by a model: no calls, no cost."]
    header = ("role", "model", "calls", "input tokens", "output tokens", "usd", "at least, minutes", "bounded by")
    cells = [header, *(_cells(row) for row in rows)]
    total = ("all", "", *(f"{sum(each):,.0f}" for each in _sums(rows)), f"{sum(row.cost_usd for row in rows):,.2f}")
    cells.append((*total, f"{sum(row.duration_s[0] for row in rows) / 60:,.1f}", "one after the other"))
    widths = [max(len(line[place]) for line in cells) for place in range(len(header))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _sums(rows: list[Estimate]) -> tuple[list[float], list[float], list[float]]:
    calls = [row.load.n_calls for row in rows]
    return calls, [row.input_tokens for row in rows], [row.output_tokens for row in rows]


def _cells(row: Estimate) -> tuple[str, ...]:
    counts = (f"{each:,.0f}" for each in (row.load.n_calls, row.input_tokens, row.output_tokens))
    seconds, bound = row.duration_s
    return (row.role, row.endpoint.model, *counts, f"{row.cost_usd:,.2f}", f"{seconds / 60:,.1f}", bound)
