"""Which gates guard which table, and how to run them.

The rules are in `world_gates`, `episode_gates` and `result_gates`; what a gate is, in `gate`. A table without an
entry here is unknown, never ungated by accident.
"""

from collections.abc import Sequence

from quality import episode_gates as episodes
from quality import result_gates as results
from quality import world_gates as worlds
from quality.gate import Finding, Gate, GateContext, GateLimits, not_empty, unique_ids
from schemas import GateResult, Record
from schemas.errors import UnknownTableError

__all__ = ["Finding", "Gate", "GateContext", "GateLimits", "gates_for", "run_gates", "tables_with_gates"]

_ROWS = Gate("not_empty", not_empty, "run the asset again and read its log")
_IDS = Gate("unique_ids", unique_ids, "derive ids from content and write each row once")

_TASKS = (
    _ROWS,
    _IDS,
    Gate("tasks_well_formed", worlds.tasks_well_formed, "drop these tasks or repair their writer"),
    Gate("references_known", worlds.references_known, "materialize the databases first, or drop these tasks"),
    Gate("references_replay", worlds.references_replay, "drop these tasks or repair their writer"),
    Gate("tasks_distinct", worlds.tasks_distinct, "draw other wordings or drop the twins"),
)


def _task_gates(split: str) -> tuple[Gate, ...]:
    check = worlds.databases_of_split(split)
    return (*_TASKS, Gate(f"databases_of_{split}", check, "build these tasks in databases of their own split"))


_DATABASES = (
    _ROWS,
    _IDS,
    Gate("databases_add_up", worlds.databases_add_up, "generate the databases again"),
    Gate("entities_disjoint", worlds.entities_disjoint, "generate these databases with an index of their own split"),
)
_REWARD = Gate("reward_adds_up", episodes.reward_adds_up, "rescore the rollouts under the weights of this run")
_EPISODES = (
    _ROWS,
    _IDS,
    Gate("trajectories_complete", episodes.trajectories_complete, "play these episodes again"),
    _REWARD,
)
_DEMONSTRATIONS = Gate("demonstrations_succeed", episodes.demonstrations_succeed, "keep successful episodes only")


def _tasks_known(table: str) -> Gate:
    return Gate("tasks_known", episodes.tasks_known(table), f"play tasks of {table}, or materialize it first")


def _trials_complete(table: str) -> Gate:
    return Gate("trials_complete", episodes.trials_complete(table), "play the missing trials")


_CHECKPOINTS = (_ROWS, _IDS, Gate("checkpoints_linked", results.checkpoints_linked, "train from a stored checkpoint"))
_METRICS = (_ROWS, _IDS, Gate("metrics_finite", results.metrics_finite, "lower the learning rate and train again"))
_OUTCOMES = (_ROWS, _IDS, Gate("outcomes_sound", results.outcomes_sound, "play the lost trials again"))
_ESTIMATES = (
    _ROWS,
    _IDS,
    Gate("estimates_sound", results.estimates_sound, "compute the report again from the outcomes"),
)

_GATES: dict[str, tuple[Gate, ...]] = {
    "train_databases": _DATABASES,
    "validation_databases": _DATABASES,
    "test_databases": _DATABASES,
    "sft_tasks": _task_gates("train"),
    "validation_tasks": _task_gates("validation"),
    "test_tasks": _task_gates("test"),
    # Candidates only: their references are replayed next, by the verdicts, and may fail.
    "injected_tasks": (
        *(gate for gate in _task_gates("train") if gate.name not in ("references_replay", "tasks_distinct")),
        Gate("lineage_known", worlds.lineage_known, "write tasks from this round's clusters and source trajectories"),
    ),
    "executable_tasks": (
        _ROWS,
        _IDS,
        Gate("verdicts_consistent", worlds.verdicts_consistent, "judge this round's injected tasks again"),
    ),
    "task_pool": (
        _ROWS,
        _IDS,
        Gate("pool_sound", worlds.pool_sound, "rebuild the pool from the verdicts of all rounds so far"),
    ),
    "sft_trajectories": (*_EPISODES, _DEMONSTRATIONS, _tasks_known("sft_tasks")),
    "source_trajectories": (*_EPISODES, _DEMONSTRATIONS),
    "validation_rollouts": (*_EPISODES, _tasks_known("validation_tasks"), _trials_complete("validation_tasks")),
    "baseline_test_rollouts": (*_EPISODES, _tasks_known("test_tasks"), _trials_complete("test_tasks")),
    "test_rollouts": (*_EPISODES, _tasks_known("test_tasks"), _trials_complete("test_tasks")),
    "rl_rollouts": (
        *_EPISODES,
        _tasks_known("task_pool"),
        Gate("groups_whole", episodes.groups_whole, "write each group with one task and one sampler"),
        Gate("tokens_stored", episodes.tokens_stored, "store what the sampler returned"),
    ),
    # A policy without failures has neither explanations nor clusters: these two may be empty.
    "judge_explanations": (
        _IDS,
        Gate("explanations_cite", episodes.explanations_cite, "judge this round's failed episodes again"),
    ),
    "failure_clusters": (
        _IDS,
        Gate("clusters_add_up", episodes.clusters_add_up, "cluster this round's explanations again"),
    ),
    "base_checkpoint": _CHECKPOINTS,
    "sft_checkpoint": _CHECKPOINTS,
    "rl_checkpoint": _CHECKPOINTS,
    "round_policy": _CHECKPOINTS,
    "sft_metrics": _METRICS,
    "rl_metrics": _METRICS,
    "validation_outcomes": _OUTCOMES,
    "baseline_test_outcomes": _OUTCOMES,
    "test_outcomes": _OUTCOMES,
    "reward_ablation_report": _ESTIMATES,
    "pass_hat_k_report": (
        *_ESTIMATES,
        Gate("report_complete", results.report_complete, "evaluate the missing policies and report again"),
    ),
}


def tables_with_gates() -> tuple[str, ...]:
    """Names of all guarded tables, sorted."""
    return tuple(sorted(_GATES))


def gates_for(table: str) -> tuple[Gate, ...]:
    """The gates of a table, cheap ones first.

    Raises:
        UnknownTableError: When the table has no entry.
    """
    if table not in _GATES:
        raise UnknownTableError(
            f"gates_for[{table}]: expected one of {', '.join(tables_with_gates())}; register its gates in quality.gates"
        )
    return _GATES[table]


def run_gates(table: str, rows: Sequence[Record], context: GateContext) -> list[GateResult]:
    """Verdict of every gate of the table; all run, so that one report names all that is wrong.

    Raises:
        UnknownTableError: When the table has no entry.
    """
    return [gate.run(table, rows, context) for gate in gates_for(table)]
