"""Speed of the rulebook monitor, and what it finds: `python -m tests.bench.bench_monitor`.

The expert's demonstrations, which break no rule, beside an agent that gives up after two messages. CPU seconds of one
thread, the median of five passes over freshly parsed trajectories.
"""

import time
from collections import Counter
from collections.abc import Sequence
from statistics import median

import env_sim
from env_sim.episode import Episode, run_episode
from env_sim.monitor import monitor
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate
from schemas import Message, Task, Trajectory
from tests.fixtures.dialogues import GivesUp
from tests.fixtures.retail import databases, tasks

DOMAIN = env_sim.load_domain("retail")


def give_up(task: Task) -> Sequence[Message]:
    base = DOMAIN.open_database(databases()[task.database_id])
    return run_episode(Episode(task, DOMAIN, base), GivesUp(load_task_kit("retail").expert(task, base))).messages


def trajectories_per_s(stored: Sequence[str], repeats: int = 5) -> float:
    rates = []
    for _ in range(repeats):
        rows = [Trajectory.model_validate_json(text) for text in stored]
        start = time.process_time()
        for row in rows:
            monitor(row.messages, DOMAIN.rules, row.trajectory_id)
        rates.append(len(rows) / (time.process_time() - start))
    return median(rates)


def main(n: int = 1200) -> None:
    """Print one line per pattern, then the speed."""
    scorer, lines, stored, n_messages = Scorer(DOMAIN), Counter(), [], 0
    for task in tasks(n, 11):
        played = demonstrate("retail", databases(), task, scorer)
        n_messages += len(played.messages)
        stored.append(played.model_dump_json())
        lines[task.pattern, "shown"] += 1
        lines[task.pattern, "expert"] += len(monitor(played.messages, DOMAIN.rules))
        lines[task.pattern, "gives up"] += len(monitor(give_up(task), DOMAIN.rules))
        lines[task.pattern, "transfer is right"] += task.criteria.transfer
    columns = ("shown", "expert", "gives up", "transfer is right")
    print("| pattern | demonstrations | breaches: expert | breaches: gives up | transfer is right |")
    print("|---|---|---|---|---|")
    for pattern in sorted({pattern for pattern, _ in lines}):
        print(f"| {pattern} | {' | '.join(str(lines[pattern, column]) for column in columns)} |")
    rate = trajectories_per_s(stored)
    print(f"\n{rate:,.0f} trajectories/s of {n_messages / len(stored):.1f} messages on average")


if __name__ == "__main__":
    main()
