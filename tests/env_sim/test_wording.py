"""How widely one wish is put: the words are drawn from a grammar, and the seed alone decides which."""

from functools import cache
from itertools import islice
from random import Random

import pytest

from env_sim import load_domain
from env_sim.task_kits import load_task_kit
from env_sim.tasks import explore
from schemas import Trajectory
from tests.fixtures import airline_tasks, retail

N_DRAWS = 300


@cache
def one_wish_each(domain: str) -> dict[str, Trajectory]:
    """The first exploration with one write by each tool."""
    row = retail.database_row() if domain == "retail" else airline_tasks.database_row()
    sources = [source for source in islice(explore(domain, [row], 3), 300) if len(source.writes) == 1]
    return {source.writes[0].name: source for source in reversed(sources)}


def openings(domain: str, source: Trajectory, n: int = N_DRAWS) -> list[str]:
    """The plain task of an exploration, worded by n seeds."""
    row = retail.database_row() if domain == "retail" else airline_tasks.database_row()
    base = load_domain(domain).open_database(row)
    drawn = [load_task_kit(domain).write_task(source, base, "none", Random(seed)) for seed in range(n)]
    return [task.scenario.opening for task in drawn if task]


@pytest.mark.parametrize(("domain", "n_tools", "n_ways"), [("retail", 6, 40), ("airline", 4, 30)])
def test_a_wish_with_the_same_values_is_put_in_dozens_of_ways_and_each_seed_draws_one(
    domain: str, n_tools: int, n_ways: int
):
    drawn = {tool: openings(domain, source) for tool, source in one_wish_each(domain).items()}
    ways = {tool: len(set(said)) for tool, said in drawn.items() if said}
    assert len(ways) == n_tools and min(ways.values()) >= n_ways, ways
    assert drawn == {tool: openings(domain, source) for tool, source in one_wish_each(domain).items()}
