"""Which gates guard which table, and how to run them.

The rules are in `world_gates`, `episode_gates`, `conduct_gates`, `shape_gates`, `result_gates`, `likeness_gates`,
`decontamination` and `drift`; what a gate is, in `gate`. Schema, ranges and value sets are Great Expectations' part
(`suites`). A table without an entry here is unknown, never ungated by accident.
"""

from collections.abc import Sequence

from quality import conduct_gates as conduct
from quality import drift
from quality import episode_gates as episodes
from quality import likeness_gates as likeness
from quality import result_gates as results
from quality import shape_gates as shapes
from quality import world_gates as worlds
from quality.decontamination import HELD_OUT, decontaminated
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
    Gate("tasks_fit", shapes.tasks_fit, "drop these tasks or shorten their wording"),
    Gate("references_known", worlds.references_known, "materialize the databases first, or drop these tasks"),
)
_REPLAY = (
    Gate("references_replay", worlds.references_replay, "drop these tasks or repair their writer"),
    Gate("tasks_distinct", worlds.tasks_distinct, "draw other wordings or drop the twins"),
)


def _split(split: str) -> Gate:
    check = worlds.databases_of_split(split)
    return Gate(f"databases_of_{split}", check, "build these tasks in databases of their own split")


def _planned(table: str) -> Gate:
    remedy = "add databases with more occasions, or lower the shares of rare patterns"
    return Gate("patterns_as_planned", shapes.patterns_as_planned(table), remedy)


def _apart(others: Sequence[str], splits: Sequence[str], *, required: bool = True) -> Gate:
    check = decontaminated(others, splits, required=required)
    return Gate("decontaminated", check, "drop these tasks, or draw them from other databases in other words")


def _steady(table: str) -> Gate:
    return Gate("steady", drift.STABLE[table], "compare with the last round: its writer, seed, databases and profile")


def _tasks_before_the_loop(table: str, split: str, apart: Gate) -> tuple[Gate, ...]:
    return (*_TASKS, *_REPLAY, _split(split), _planned(table), apart)


_DATABASES = (
    _ROWS,
    _IDS,
    Gate("databases_add_up", worlds.databases_add_up, "generate the databases again"),
    Gate("entities_disjoint", worlds.entities_disjoint, "generate these databases with an index of their own split"),
)


def _episodes(table: str, split: str) -> tuple[Gate, ...]:
    return (
        _ROWS,
        _IDS,
        Gate("trajectories_complete", episodes.trajectories_complete, "play these episodes again"),
        Gate("episodes_fit", shapes.episodes_fit(table), "play these episodes under the limits of this profile"),
        Gate("reward_adds_up", episodes.reward_adds_up, "rescore the rollouts under the weights of this run"),
        Gate("databases_known", episodes.databases_known(split), f"play in {split} databases that are declared"),
    )


def _tasks_known(table: str) -> Gate:
    return Gate("tasks_known", episodes.tasks_known(table), f"play tasks of {table}, or materialize it first")


def _conduct(violations: str) -> Gate:
    return Gate("conduct_counted", conduct.conduct_counted(violations), f"write {violations} again with the rollouts")


def _evaluated(table: str, split: str, violations: str) -> tuple[Gate, ...]:
    tasks = f"{split}_tasks"
    complete = Gate("trials_complete", episodes.trials_complete(tasks), "play the missing trials")
    return (*_episodes(table, split), _tasks_known(tasks), complete, _conduct(violations))


def _not_collapsed(table: str) -> Gate:
    return Gate("not_collapsed", drift.not_collapsed(table), "look at the training curves of the round before")


def _violations(rollouts: str) -> tuple[Gate, ...]:
    # A policy that breaks no rule has no rows.
    return (_IDS, Gate("episodes_known", conduct.episodes_known(rollouts), f"write them again with {rollouts}"))


def _attempts(made: str, column: str) -> tuple[Gate, ...]:
    # Programs leave no attempts to write, so a table may be empty.
    return (_IDS, Gate("attempts_known", worlds.attempts_known(made, column), f"write them again with {made}"))


def _outcomes(rollouts: str, tasks: str) -> tuple[Gate, ...]:
    recount = results.outcomes_add_up(rollouts, tasks)
    return (
        _ROWS,
        _IDS,
        Gate("outcomes_sound", results.outcomes_sound, "play the lost trials again"),
        Gate("outcomes_add_up", recount, f"count the outcomes again from {rollouts}"),
    )


_DEMONSTRATIONS = Gate("demonstrations_succeed", episodes.demonstrations_succeed, "keep successful episodes only")
_CHECKPOINTS = (_ROWS, _IDS, Gate("checkpoints_linked", results.checkpoints_linked, "train from a stored checkpoint"))
_METRICS = (_ROWS, _IDS, Gate("metrics_finite", results.metrics_finite, "lower the learning rate and train again"))
_ESTIMATES = (
    _ROWS,
    _IDS,
    Gate("estimates_sound", results.estimates_sound, "compute the report again from the outcomes"),
)

_GATES: dict[str, tuple[Gate, ...]] = {
    "train_databases": _DATABASES,
    "validation_databases": _DATABASES,
    "test_databases": _DATABASES,
    "sft_tasks": _tasks_before_the_loop("sft_tasks", "train", _apart(HELD_OUT, ("validation", "test"))),
    # Of these two, the one that is written later compares.
    "validation_tasks": _tasks_before_the_loop(
        "validation_tasks", "validation", _apart(("test_tasks",), ("train", "test"), required=False)
    ),
    "test_tasks": _tasks_before_the_loop(
        "test_tasks", "test", _apart(("validation_tasks",), ("train", "validation"), required=False)
    ),
    # Candidates only: their references are replayed next, by the verdicts, and may fail.
    "injected_tasks": (
        *_TASKS,
        _split("train"),
        Gate("lineage_known", worlds.lineage_known, "write tasks from this round's clusters and source trajectories"),
        _planned("injected_tasks"),
        _apart(HELD_OUT, ("validation", "test")),
        _steady("injected_tasks"),
    ),
    "executable_tasks": (
        _ROWS,
        _IDS,
        Gate("verdicts_consistent", worlds.verdicts_consistent, "judge this round's injected tasks again"),
        Gate("accepted_sound", worlds.accepted_sound, "reject these tasks or repair their writer"),
        _steady("executable_tasks"),
    ),
    "task_pool": (
        _ROWS,
        _IDS,
        Gate("pool_sound", worlds.pool_sound, "rebuild the pool from the verdicts of all rounds so far"),
        Gate("pool_balanced", shapes.pool_balanced, "mix older rounds in, or lower the targeting of this pattern"),
        _apart(HELD_OUT, ("validation", "test")),
        _steady("task_pool"),
    ),
    "sft_trajectories": (
        *_episodes("sft_trajectories", "train"),
        _DEMONSTRATIONS,
        _tasks_known("sft_tasks"),
        Gate("rulebook_kept", conduct.rulebook_kept, "drop these demonstrations or repair the expert"),
    ),
    # Explorations talk to nobody: the rulebook does not apply, and their tasks are written from them.
    "source_trajectories": (
        *_episodes("source_trajectories", "train"),
        _DEMONSTRATIONS,
        _steady("source_trajectories"),
    ),
    "exploration_attempts": _attempts("source_trajectories", "trajectory_id"),
    "writing_attempts": _attempts("injected_tasks", "task_id"),
    "validation_rollouts": (
        *_evaluated("validation_rollouts", "validation", "validation_violations"),
        _steady("validation_rollouts"),
        _not_collapsed("validation_rollouts"),
    ),
    "baseline_test_rollouts": _evaluated("baseline_test_rollouts", "test", "baseline_test_violations"),
    "test_rollouts": (
        *_evaluated("test_rollouts", "test", "test_violations"),
        _steady("test_rollouts"),
        _not_collapsed("test_rollouts"),
    ),
    "rl_rollouts": (
        *_episodes("rl_rollouts", "train"),
        _tasks_known("task_pool"),
        Gate("groups_whole", episodes.groups_whole, "write each group with one task and one sampler"),
        Gate("advantages_centred", episodes.advantages_centred, "write all episodes of a group with its advantages"),
        Gate("tokens_stored", episodes.tokens_stored, "store what the sampler returned"),
        _conduct("rl_violations"),
        _steady("rl_rollouts"),
        _not_collapsed("rl_rollouts"),
    ),
    "validation_violations": _violations("validation_rollouts"),
    "baseline_test_violations": _violations("baseline_test_rollouts"),
    "test_violations": _violations("test_rollouts"),
    "rl_violations": _violations("rl_rollouts"),
    # A policy without failures has neither explanations nor clusters: these two may be empty.
    "judge_explanations": (
        _IDS,
        Gate("explanations_cite", episodes.explanations_cite, "judge this round's failed episodes again"),
        _steady("judge_explanations"),
    ),
    "failure_clusters": (
        _IDS,
        Gate("clusters_add_up", episodes.clusters_add_up, "cluster this round's explanations again"),
    ),
    # A round without failures and without new tasks has no words, and most have no pair: these two may be empty.
    "embeddings": (
        _IDS,
        Gate("words_current", likeness.words_current, "embed this round's explanations and new tasks again"),
        Gate("vectors_comparable", likeness.vectors_comparable, "embed the round anew with one model"),
    ),
    "near_duplicates": (
        _IDS,
        Gate("pairs_hold", likeness.pairs_hold, "look for the pairs again among the accepted tasks"),
    ),
    "base_checkpoint": _CHECKPOINTS,
    "sft_checkpoint": _CHECKPOINTS,
    "rl_checkpoint": _CHECKPOINTS,
    "served_checkpoint": _CHECKPOINTS,
    "round_policy": (
        *_CHECKPOINTS,
        Gate("policy_stored", results.policy_stored, "announce the checkpoint that training has stored"),
    ),
    "sft_metrics": _METRICS,
    "rl_metrics": _METRICS,
    "validation_outcomes": _outcomes("validation_rollouts", "validation_tasks"),
    "baseline_test_outcomes": _outcomes("baseline_test_rollouts", "test_tasks"),
    "test_outcomes": _outcomes("test_rollouts", "test_tasks"),
    "reward_ablation_report": _ESTIMATES,
    "pass_hat_k_report": (
        *_ESTIMATES,
        Gate("report_complete", results.report_complete, "evaluate the missing policies and report again"),
        Gate("estimates_follow", results.estimates_follow, "compute the report again from the outcomes"),
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
