"""How widely one wish is put: the words are drawn from a grammar, and the seed alone decides which."""

from functools import cache
from itertools import islice
from random import Random

import pytest

from env_sim import load_domain
from env_sim.domains.retail.database import RetailDatabase
from env_sim.task_kits import load_task_kit
from env_sim.tasks import explore
from schemas import DatabaseRow, Trajectory
from tests.fixtures import airline_tasks, retail

N_DRAWS = 300


def row_of(domain: str) -> DatabaseRow:
    return retail.database_row() if domain == "retail" else airline_tasks.database_row()


def openings(domain: str, source: Trajectory, n: int = N_DRAWS) -> list[str]:
    """The plain task of an exploration, worded by n seeds."""
    base = load_domain(domain).open_database(row_of(domain))
    drawn = [load_task_kit(domain).write_task(source, base, "none", Random(seed)) for seed in range(n)]
    return [task.scenario.opening for task in drawn if task]


@cache
def one_wish_each(domain: str) -> dict[str, Trajectory]:
    """For each tool an exploration with one write, by it, that makes a plain task."""
    sources = islice(explore(domain, [row_of(domain)], 3), 300)
    plain = [source for source in sources if len(source.writes) == 1 and openings(domain, source, 1)]
    return {source.writes[0].name: source for source in plain}


@pytest.mark.parametrize(("domain", "n_tools", "n_ways"), [("retail", 6, 40), ("airline", 5, 30)])
def test_a_wish_with_the_same_values_is_put_in_dozens_of_ways_and_each_seed_draws_one(
    domain: str, n_tools: int, n_ways: int
):
    drawn = {tool: openings(domain, source) for tool, source in one_wish_each(domain).items()}
    ways = {tool: len(set(said)) for tool, said in drawn.items()}
    assert len(ways) == n_tools and min(ways.values()) >= n_ways, ways
    assert drawn == {tool: openings(domain, source) for tool, source in one_wish_each(domain).items()}


def test_a_customer_whose_name_and_zip_code_lead_to_another_says_the_email_address():
    source = one_wish_each("retail")["return_delivered_order_items"]
    base = load_domain("retail").open_database(row_of("retail"))
    calls = [call.arguments for message in source.messages for call in message.tool_calls]
    user_id = next(str(arguments["user_id"]) for arguments in calls if "user_id" in arguments)
    users = base.tables["users"]
    twin = next(user for user in users if user != user_id)
    same = {key: users[user_id][key] for key in ("name", "address")}
    for order, found in (([twin, user_id], False), ([user_id, twin], True)):
        named_alike = {user: {**users[user], **same} for user in order}
        shop = RetailDatabase(
            {**base.tables, "users": {**named_alike, **{u: users[u] for u in users if u not in order}}}
        )
        tasks = [load_task_kit("retail").write_task(source, shop, "none", Random(seed)) for seed in range(30)]
        assert any(task and task.scenario.identity.email is None for task in tasks) is found
