"""How many tasks of which pattern a stage wants: a function of the profile and, in a round, of its clusters.

Computed where it is needed, by the stages that follow it and by the gates that hold them to it.
"""

from collections.abc import Mapping, Sequence

from assets.profile import Profile
from env_sim.pool import PatternPlan, plan_patterns
from env_sim.task_kits import load_task_kit
from env_sim.tasks import pattern_counts, standard_mix
from schemas import ConfigError, FailureCluster

__all__ = ["injection_plan", "mix_of", "planned_counts"]


def injection_plan(profile: Profile, clusters: Sequence[FailureCluster]) -> PatternPlan:
    """What a round injects, given its failures."""
    kit = load_task_kit(profile.domain)
    return plan_patterns(profile.targeting, clusters, profile.hard_patterns, kit.patterns[0].name, profile.injection)


def planned_counts(profile: Profile, table: str, clusters: Sequence[FailureCluster]) -> Mapping[str, int]:
    """Pattern -> tasks that a table of tasks was meant to hold.

    Raises:
        ConfigError: When nobody plans this table.
    """
    if table == "injected_tasks":
        return injection_plan(profile, clusters).counts
    return pattern_counts(*mix_of(profile, table))


def mix_of(profile: Profile, table: str) -> tuple[Mapping[str, float], int]:
    """Pattern -> share of a table of tasks from before the loop, and how many tasks it holds.

    Raises:
        ConfigError: When nobody plans this table.
    """
    sizes, hard = profile.tasks, profile.hard_patterns
    if table == "sft_tasks":
        return standard_mix(profile.domain, sizes.sft_plain_share, hard), sizes.sft
    counts = {"validation_tasks": sizes.validation, "test_tasks": sizes.test}
    if table not in counts:
        raise ConfigError(f"plan[{table}]: expected a table of tasks that a profile plans, got another; plan it here")
    return standard_mix(profile.domain, sizes.eval_plain_share, sizes.eval_patterns or hard), counts[table]
