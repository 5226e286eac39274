"""Same seed, same bytes: across processes, hash seeds, and thousands of episodes side by side."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from random import Random

from env_sim import load_domain
from env_sim.episode import Episode
from env_sim.reward import Scorer
from env_sim.tasks import demonstrate
from schemas import Message, ToolCall
from tests.fixtures.nasty import MILD, usual
from tests.fixtures.retail import databases, tasks

ROOT = Path(__file__).parents[2]
N_EPISODES = 1000
DOMAIN = load_domain("retail")


@cache
def said_by_the_expert(number: int) -> tuple[Message, ...]:
    """The assistant's side of a demonstration."""
    trajectory = demonstrate("retail", databases(), tasks()[number], Scorer(DOMAIN))
    return tuple(message for message in trajectory.messages if message.role == "assistant")


class Erratic:
    """Says what the expert said; now and then, and when that ends, calls a tool with whatever comes to mind."""

    def __init__(self, number: int) -> None:
        which = number % len(tasks())
        base = DOMAIN.open_database(databases()[tasks()[which].database_id])
        self.episode = Episode(tasks()[which], DOMAIN, base, mode=("strict", "parity")[number % 2])
        self._lines = list(said_by_the_expert(which))
        self._rng = Random(number)

    def step(self) -> bool:
        """One turn; whether the episode goes on."""
        slips = not self._lines or self._rng.random() < 0.2
        self.episode.step(self._slip() if slips else self._lines.pop(0))
        return self.episode.stop_reason is None

    def _slip(self) -> Message:
        name = self._rng.choice(sorted(usual("retail")))
        arguments = dict(usual("retail")[name])
        for place in arguments:
            if self._rng.random() < 0.3:
                arguments[place] = self._rng.choice(MILD)
        return Message(role="assistant", tool_calls=(ToolCall(id="slip", name=name, arguments=arguments),))

    def outcome(self) -> tuple[str, object]:
        episode = self.episode
        return repr((episode.messages, episode.writes, episode.stop_reason)), episode.environment.state_key()


def test_a_thousand_episodes_side_by_side_go_as_each_goes_alone():
    alone = []
    for number in range(N_EPISODES):
        player = Erratic(number)
        while player.step():
            pass
        alone.append(player.outcome())
    players = [Erratic(number) for number in range(N_EPISODES)]
    running, rng = list(players), Random(0)
    while running:
        rng.shuffle(running)
        running = [player for player in running if player.step()]
    assert [player.outcome() for player in players] == alone
    assert len(set(alone)) > N_EPISODES / 2
    for row in databases().values():
        base = DOMAIN.open_database(row)
        assert type(base)(base.tables).content_sha256() == row.content_sha256


MAKES_ROWS = """
from hashlib import sha256
from env_sim import load_domain
from env_sim.reward import Scorer
from env_sim.tasks import demonstrate, make_tasks, standard_mix

domain = load_domain("retail")
rows = [domain.database_row("train", index, 7, 80) for index in range(2)]
tasks = make_tasks("retail", rows, standard_mix("retail", 0.5), 24, 3)
by_id = {row.database_id: row for row in rows}
demonstrations = [demonstrate("retail", by_id, task, Scorer(domain)) for task in tasks]
for made in (rows, tasks, demonstrations):
    print(len(made), sha256("\\n".join(row.model_dump_json() for row in made).encode()).hexdigest())
"""


def test_databases_tasks_and_demonstrations_are_the_same_bytes_under_any_hash_seed():
    running = [
        subprocess.Popen(
            [sys.executable, "-c", MAKES_ROWS],
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
    assert [int(line.split()[0]) for line in printed[0].splitlines()] == [2, 24, 24]
