"""What a program has written can be said by numbers in the writing model's schema, and becomes the same task again."""

from itertools import islice

import pytest

from env_sim import load_domain
from env_sim.llm_writer import commissions
from env_sim.pool import PatternPlan
from env_sim.task_kits import load_task_kit
from env_sim.tasks import explore, write_tasks
from env_sim.written_task import Written, built, problem_of
from tests.fixtures import airline_tasks, retail
from tests.fixtures.task_models import said_of

WORLDS = {"airline": airline_tasks, "retail": retail}


@pytest.mark.parametrize("name", WORLDS)
def test_a_programs_task_said_in_the_schema_is_the_same_task(name: str):
    domain, kit, databases = load_domain(name), load_task_kit(name), WORLDS[name].databases()
    wanted = dict.fromkeys([pattern.name for pattern in kit.patterns], 3)
    made = write_tasks(name, databases, islice(explore(name, list(databases.values()), 2), 600), wanted, 2)
    made = [(source, task) for source, task in made if source.writes]
    offered = commissions(name, [(source, task.pattern) for source, task in made], PatternPlan(wanted), {})
    assert len({task.pattern for _, task in made}) > 5
    for (source, task), asked in zip(made, offered, strict=True):
        said = Written.model_validate(said_of(task, source))
        base = domain.open_database(databases[source.database_id])
        problem = problem_of(said, asked, domain, kit, base, 300, "m")
        assert problem == "" or problem.startswith("before_change"), (task.pattern, problem)
        again = built(said, asked, domain, kit, base, "m")
        told = again.scenario.model_copy(update={"never_said": ()})
        assert (told, again.criteria) == (task.scenario, task.criteria)
        assert again.intent == task.intent or task.intent in ("ambiguous", "plain")
