"""An agent that knows the reference gets every user of the programs to the end, in any domain."""

from itertools import islice

import pytest

from env_sim import load_domain
from env_sim.episode import Episode, run_episode
from env_sim.exploration import findings_of, why_useless
from env_sim.follower import Follower
from env_sim.reward import Scorer
from env_sim.tasks import explore
from tests.fixtures import airline_tasks, retail

WORLDS = {"airline": airline_tasks, "retail": retail}


@pytest.mark.parametrize("name", WORLDS)
def test_the_follower_solves_every_task_that_a_program_has_written(name: str):
    domain, scorer, databases = load_domain(name), Scorer(load_domain(name)), WORLDS[name].databases()
    for task in WORLDS[name].tasks():
        episode = Episode(task, domain, domain.open_database(databases[task.database_id]))
        run_episode(episode, Follower(task, domain))
        assert scorer.score(episode, 0).success >= 1, (task.pattern, episode.stop_reason)
        assert episode.user_fault is None


@pytest.mark.parametrize("name", WORLDS)
def test_a_programs_exploration_is_useful_if_it_wrote_and_its_transfer_alone_proves_nothing(name: str):
    domain, databases = load_domain(name), WORLDS[name].databases()
    for source in islice(explore(name, list(databases.values()), 1), 60):
        base = domain.open_database(databases[source.database_id])
        reason = why_useless(domain, base, source.messages)
        assert bool(source.writes) == (reason == ""), reason
        assert findings_of(domain, source.messages).writes == source.writes
