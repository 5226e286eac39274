"""Retail's task-making side, put together."""

from env_sim.domains.retail import DOMAIN
from env_sim.domains.retail.causes import RetailCauses
from env_sim.domains.retail.compact import build_spec
from env_sim.domains.retail.damage import damages
from env_sim.domains.retail.expert import Expert
from env_sim.domains.retail.explorer import explore
from env_sim.domains.retail.naive import naive_agent
from env_sim.domains.retail.patterns import PATTERNS, pairs, why_not
from env_sim.domains.retail.planner import WordPlanner
from env_sim.domains.retail.tau2_words import case_rules
from env_sim.domains.retail.word_rules import task_rules
from env_sim.domains.retail.writer import identity_of, write_eased, write_task
from env_sim.soundness_rules import SoundnessKit
from env_sim.task_kits import TaskKit

KIT = TaskKit(
    patterns=PATTERNS,
    compact_spec=build_spec(DOMAIN.tool_schemas()),
    explore=explore,
    write_task=write_task,
    expert=Expert,
    damages=damages,
    write_eased=write_eased,
    naive=naive_agent,
    pairs=pairs,
    check_pattern=why_not,
    identity=identity_of,
    causes=RetailCauses(),
    soundness=SoundnessKit(WordPlanner, task_rules, case_rules),
)
