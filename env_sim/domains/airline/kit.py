"""The airline's task-making side, put together."""

from env_sim.domains.airline import DOMAIN
from env_sim.domains.airline.causes import AirlineCauses
from env_sim.domains.airline.compact import build_spec
from env_sim.domains.airline.expert import Expert
from env_sim.domains.airline.explorer import explore
from env_sim.domains.airline.patterns import PATTERNS
from env_sim.domains.airline.planner import WordPlanner
from env_sim.domains.airline.tau2_words import case_rules
from env_sim.domains.airline.word_rules import task_rules
from env_sim.domains.airline.writer import identity_of, write_task
from env_sim.soundness_rules import SoundnessKit
from env_sim.task_kits import TaskKit

KIT = TaskKit(
    patterns=PATTERNS,
    compact_spec=build_spec(DOMAIN.tool_schemas()),
    explore=explore,
    write_task=write_task,
    expert=Expert,
    identity=identity_of,
    causes=AirlineCauses(),
    soundness=SoundnessKit(WordPlanner, task_rules, case_rules, sequences=frozenset({"flights"})),
)
