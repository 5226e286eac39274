"""Retail's task-making side, put together."""

from env_sim.domains.retail import DOMAIN
from env_sim.domains.retail.compact import build_spec
from env_sim.domains.retail.expert import Expert
from env_sim.domains.retail.explorer import explore
from env_sim.domains.retail.patterns import PATTERNS
from env_sim.domains.retail.writer import write_task
from env_sim.task_kits import TaskKit

KIT = TaskKit(
    patterns=PATTERNS,
    compact_spec=build_spec(DOMAIN.tool_schemas()),
    explore=explore,
    write_task=write_task,
    expert=Expert,
)
