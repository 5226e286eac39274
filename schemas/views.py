"""Ready views: the questions that are asked every day, as SQL over the declared tables.

Data only: `Warehouse.sql` makes a view when a query names it, so that a view costs nothing until then. A view names
tables, never another view. Episodes that infrastructure ended leave every rate, as everywhere else.
"""

from dataclasses import dataclass

from schemas.columns import TABLES
from schemas.errors import ConfigError

__all__ = ["VIEWS", "View"]


@dataclass(frozen=True)
class View:
    """A named SELECT."""

    name: str
    meaning: str
    """One line for people, as in the command's help."""
    sql: str


_POOL_BY_PATTERN = View(
    "pool_by_pattern",
    "The task pool by round and pattern: tasks, how many the round brought, share by count and by sampling weight.",
    """
    select round, pattern, count(*) as n_tasks, count(*) filter (where added_in = round) as n_new,
        count(*) / sum(count(*)) over (partition by round) as share,
        sum(weight) / sum(sum(weight)) over (partition by round) as weight_share
    from task_pool
    group by round, pattern
    order by round, pattern
    """,
)

_REJECTION_REASONS = View(
    "rejection_reasons",
    "Why injected tasks were rejected, by round: tasks, share of the round's candidates, patterns, an example.",
    # Ids in brackets are left out, or every reason that cites its task would stand alone.
    r"""
    with verdicts as (
        select round, pattern, task_id, executable, regexp_replace(reason, '\[[^\]]+\]', '[...]', 'g') as reason,
            count(*) over (partition by round) as n_candidates
        from executable_tasks
    )
    select round, reason, count(*) as n_tasks, count(*) / any_value(n_candidates) as share,
        list_sort(list(distinct pattern)) as patterns, min(task_id) as example_task_id
    from verdicts
    where not executable
    group by round, reason
    order by round, n_tasks desc, reason
    """,
)

_TASK_YIELD = View(
    "task_yield",
    "What became of each pattern: explored, kept, written, rejected by which check, accepted; vain tries are models'.",
    # Reasons of `env_sim.task_checks` begin with the check's name; others come from the replay alone.
    """
    with steps as (
        select round, pattern, 'explored' as step, reason from exploration_attempts
        union all select round, pattern, 'tried', reason from writing_attempts
        union all select round, pattern, 'written', 'ok' from injected_tasks
        union all select round, pattern, 'checked', reason from executable_tasks
    ), named as (
        select *, case when reason = 'ok' then 'ok'
            when split_part(reason, ':', 1) in ('soundness', 'pattern', 'solvability', 'back-check')
            then split_part(reason, ':', 1) else 'replay' end as outcome
        from steps
    )
    select round, pattern,
        count(*) filter (where step = 'explored') as n_explored,
        count(*) filter (where step = 'explored' and outcome = 'ok') as n_kept,
        count(*) filter (where step = 'tried') as n_tried,
        count(*) filter (where step = 'written') as n_written,
        count(*) filter (where step = 'checked' and outcome = 'replay') as n_failed_replay,
        count(*) filter (where step = 'checked' and outcome = 'soundness') as n_failed_soundness,
        count(*) filter (where step = 'checked' and outcome = 'pattern') as n_failed_pattern,
        count(*) filter (where step = 'checked' and outcome = 'solvability') as n_failed_solvability,
        count(*) filter (where step = 'checked' and outcome = 'back-check') as n_failed_back_check,
        count(*) filter (where step = 'checked' and outcome = 'ok') as n_accepted,
        n_accepted / nullif(n_written, 0) as accepted_share
    from named
    group by round, pattern
    order by round, pattern
    """,
)

_CLUSTER_PASS_RATE = View(
    "cluster_pass_rate",
    "Did a failure cluster shrink: pass rate of every policy on the tasks of its pattern, before and `after` training.",
    # All tasks of the pattern, not only those that the members failed: chosen for having failed, those would do better
    # at the next look whatever was learned. A pattern that no task carries (`other`) keeps one row without numbers.
    """
    with outcomes as (
        select 'validation' as split, round, policy, pattern, n_trials, n_successes from validation_outcomes
        union all select 'test', round, policy, pattern, n_trials, n_successes from baseline_test_outcomes
        union all select 'test', round, policy, pattern, n_trials, n_successes from test_outcomes
    ), rates as (
        select split, round, policy, pattern, count(*) as n_tasks, sum(n_trials)::bigint as n_trials,
            sum(n_successes)::bigint as n_successes
        from outcomes group by all
    )
    select c.round as found_in, c.cluster_id, c.label, c.pattern, c.size, r.split, r.round, r.policy,
        case r.split when 'test' then r.round >= c.round else r.round > c.round end as after,
        r.n_tasks, r.n_trials, r.n_successes, r.n_successes / r.n_trials as pass_rate
    from failure_clusters c left join rates r on r.pattern = c.pattern
    order by found_in, c.size desc, cluster_id, split desc, r.round, policy
    """,
)

_REWARD_PARTS = View(
    "reward_parts",
    "Reward parts per round and training step, and how far reward and advantage spread inside the groups.",
    """
    with groups as (
        select round, train_step, group_id, count(*) as n, avg(reward.success) as success,
            avg(reward.action_checks) as action_checks, avg(reward.length_tokens) as length_tokens,
            avg(reward.repeats) as repeats, avg(reward.total) as total, stddev_pop(reward.total) as total_spread,
            min(reward.total) = max(reward.total) as flat, stddev_pop(advantage) as advantage_spread
        from rl_rollouts
        where stop_reason <> 'infrastructure'
        group by all
    )
    select round, train_step, sum(n)::bigint as n_episodes, count(*) as n_groups,
        count(*) filter (where flat) as n_groups_without_spread,
        sum(success * n) / sum(n) as success, sum(action_checks * n) / sum(n) as action_checks,
        sum(length_tokens * n) / sum(n) as length_tokens, sum(repeats * n) / sum(n) as repeats,
        sum(total * n) / sum(n) as total, avg(total_spread) as total_spread, avg(advantage_spread) as advantage_spread
    from groups
    group by round, train_step
    order by round, train_step
    """,
)

_REPEATED_CALLS = View(
    "repeated_calls",
    "Repeated calls by round, policy and where it played: share of episodes with one, and repeats per episode.",
    """
    with episodes as (
        select 'validation' as played, round, policy, stop_reason, reward from validation_rollouts
        union all select 'test', round, policy, stop_reason, reward from baseline_test_rollouts
        union all select 'test', round, policy, stop_reason, reward from test_rollouts
        union all select 'training', round, policy, stop_reason, reward from rl_rollouts
    )
    select round, policy, played, count(*) as n_episodes,
        count(*) filter (where reward.repeats > 0) / count(*) as share_with_repeats,
        avg(reward.repeats) as repeats_per_episode
    from episodes
    where stop_reason <> 'infrastructure'
    group by round, policy, played
    order by round, policy, played
    """,
)


def _views() -> dict[str, View]:
    views = (_POOL_BY_PATTERN, _REJECTION_REASONS, _TASK_YIELD, _CLUSTER_PASS_RATE, _REWARD_PARTS, _REPEATED_CALLS)
    if taken := [view.name for view in views if view.name in TABLES]:
        raise ConfigError(f"views[{taken[0]}]: expected a name that no table has, got a table's; rename the view")
    return {view.name: view for view in views}


VIEWS: dict[str, View] = _views()
"""All ready views by name."""
