"""Same seed, same bytes: across processes, hash seeds, and thousands of episodes of two domains side by side."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from random import Random

from env_sim import load_domain
from env_sim.episode import Episode
from env_sim.monitor import monitor
from env_sim.reward import Scorer
from env_sim.tasks import demonstrate
from env_sim.user_faults import user_faults
from schemas import DatabaseRow, Message, Task, ToolCall, Trajectory
from tests.fixtures import airline_tasks, retail
from tests.fixtures.nasty import MILD, usual

ROOT = Path(__file__).parents[2]
N_EPISODES = 2000
DOMAINS = ("retail", "airline")


def databases(domain: str) -> dict[str, DatabaseRow]:
    return retail.databases() if domain == "retail" else airline_tasks.databases()


@cache
def tasks(domain: str) -> tuple[Task, ...]:
    return retail.tasks(48) if domain == "retail" else airline_tasks.tasks(48)


@cache
def demonstration(domain: str, number: int) -> Trajectory:
    return demonstrate(domain, databases(domain), tasks(domain)[number], Scorer(load_domain(domain)))


class Erratic:
    """Says what the expert said; now and then, and when that ends, calls a tool with whatever comes to mind."""

    def __init__(self, number: int) -> None:
        self._domain = DOMAINS[number % 2]
        which = number // 2 % len(tasks(self._domain))
        domain, task = load_domain(self._domain), tasks(self._domain)[which]
        base = domain.open_database(databases(self._domain)[task.database_id])
        self.episode = Episode(task, domain, base, mode=("strict", "parity")[number // 2 % 2])
        said = demonstration(self._domain, which).messages
        self._lines = [message for message in said if message.role == "assistant"]
        self._rng = Random(number)

    def step(self) -> bool:
        """One turn; whether the episode goes on."""
        slips = not self._lines or self._rng.random() < 0.2
        self.episode.step(self._slip() if slips else self._lines.pop(0))
        return self.episode.stop_reason is None

    def _slip(self) -> Message:
        name = self._rng.choice(sorted(usual(self._domain)))
        arguments = dict(usual(self._domain)[name])
        for place in arguments:
            if self._rng.random() < 0.3:
                arguments[place] = self._rng.choice(MILD)
        return Message(role="assistant", tool_calls=(ToolCall(id="slip", name=name, arguments=arguments),))

    def outcome(self) -> tuple[str, object]:
        episode = self.episode
        return repr((episode.messages, episode.writes, episode.stop_reason)), episode.environment.state_key()


def played(number: int) -> Erratic:
    """An episode from its start to its end, with nothing in between."""
    player = Erratic(number)
    while player.step():
        pass
    return player


def test_thousands_of_episodes_side_by_side_go_as_each_goes_alone():
    alone = [played(number).outcome() for number in range(N_EPISODES)]
    players = [Erratic(number) for number in range(N_EPISODES)]
    running, rng = list(players), Random(0)
    while running:
        rng.shuffle(running)
        running = [player for player in running if player.step()]
    assert [player.outcome() for player in players] == alone
    assert len(set(alone)) > N_EPISODES / 2
    for domain in DOMAINS:
        for row in databases(domain).values():
            base = load_domain(domain).open_database(row)
            assert type(base)(base.tables).content_sha256() == row.content_sha256


def of_databases(domain: str) -> Iterable[str]:
    return [row.model_dump_json() for row in databases(domain).values()]


def of_tasks(domain: str) -> Iterable[str]:
    return [task.model_dump_json() for task in tasks(domain)]


def of_trajectories(domain: str) -> Iterable[str]:
    return [demonstration(domain, number).model_dump_json() for number in range(len(tasks(domain)))]


def of_users(domain: str) -> Iterable[str]:
    """What users say to agents that are often wrong, and what is noted about both."""
    for episode in of_some_episodes(domain):
        said = [message.content for message in episode.messages if message.role == "user"]
        faults = user_faults(episode.task.scenario, episode.messages, episode.stop_reason)
        yield repr((said, faults, monitor(episode.messages, episode.domain.rules)))


def of_episodes(domain: str) -> Iterable[str]:
    for episode in of_some_episodes(domain):
        environment = episode.environment
        yield repr((episode.messages, episode.writes, episode.stop_reason, environment.state_key()))
    yield environment.database_hash()


@cache
def of_some_episodes(domain: str) -> Sequence[Episode]:
    return [played(number).episode for number in range(DOMAINS.index(domain), 100, 2)]


KINDS: tuple[Callable[[str], Iterable[str]], ...] = (
    of_databases,
    of_tasks,
    of_users,
    of_episodes,
    of_trajectories,
)


def print_bytes() -> None:
    """One line for each domain and kind: how many, and the hash of all."""
    for domain in DOMAINS:
        for kind in KINDS:
            made = list(kind(domain))
            print(domain, kind.__name__, len(made), sha256("\n".join(made).encode("utf-8", "replace")).hexdigest())


def test_databases_tasks_users_episodes_and_trajectories_are_the_same_bytes_under_any_hash_seed():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import print_bytes; print_bytes()"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "4242")
    ]
    printed = [process.communicate()[0] for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert printed[0] == printed[1]
    counted = [line.split()[:3] for line in printed[0].splitlines()]
    assert [(domain, kind) for domain, kind, _ in counted] == [(d, k.__name__) for d in DOMAINS for k in KINDS]
    assert all(int(n) > 1 for *_, n in counted)
