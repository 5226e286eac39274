"""Gates on size, mix, conduct and recounts: each has a table that passes and tables that fail for one named reason."""

from quality.gate import GateLimits
from quality.gates import gates_for, tables_with_gates
from schemas import (
    Attempt,
    Checkpoint,
    ConductRule,
    Message,
    PoolTask,
    StopReason,
    UserFault,
    UserFaultKind,
    Verdict,
    Violation,
)
from schemas.columns import RlRollout
from tests.quality.builders import make_outcome, make_pass_hat_k, make_task, make_trajectory
from tests.quality.stored import ROUND, context_of, result_of

BOOT = "bootstrap"


def breach(index: int = 0, **changes: object) -> Violation:
    fields = {"rule": ConductRule.REPEATED_CALL, "trajectory_id": f"traj-{index}", "turn": 3, "evidence": "x again"}
    return Violation.model_validate(fields | changes)


def refused(name: str, table: str, rows, context) -> str:
    result = result_of(name, table, rows, context)
    assert not result.passed
    return f"{result.message} {result.bad_ids}"


def test_tasks_fit() -> None:
    assert result_of("tasks_fit", "sft_tasks", [make_task()], context_of({})).passed
    short = context_of({}, limits=GateLimits(max_words=10))
    long = make_task(0, scenario=make_task().scenario.model_copy(update={"opening": "word " * 20}))
    assert "says 25 words" in refused("tasks_fit", "sft_tasks", [make_task(), long], short)
    many = make_task(0, reference=make_task().reference * 61)
    assert "61 calls" in refused("tasks_fit", "sft_tasks", [many], context_of({}))


def test_episodes_fit_their_context() -> None:
    table, rows = "test_rollouts", [make_trajectory(0), make_trajectory(1)]
    assert result_of("episodes_fit", table, rows, context_of({}, max_tokens={table: 3})).passed
    assert "its context holds 2" in refused("episodes_fit", table, rows, context_of({}, max_tokens={table: 2}))
    assert "max_tokens[test_rollouts]" in refused("episodes_fit", table, rows, context_of({}))
    room = context_of({}, max_tokens={table: 3})
    wordy = make_trajectory(0, messages=(Message(role="user", content="x" * 20_001),))
    assert "message of 20001 characters" in refused("episodes_fit", table, [wordy], room)
    cut = [make_trajectory(i, stop_reason=StopReason.CONTEXT_FULL) for i in range(3)]
    assert "100% of the episodes were cut" in refused("episodes_fit", table, cut, room)


def test_episodes_ran_on_declared_databases_of_their_split() -> None:
    rows = [make_trajectory(0, database_id="db-train0")]
    assert result_of("databases_known", "rl_rollouts", rows, context_of({})).passed
    leaked = [make_trajectory(0, database_id="db-test0")]
    assert "'db-test0', which is test" in refused("databases_known", "rl_rollouts", leaked, context_of({}))
    assert "not declared" in refused("databases_known", "test_rollouts", [make_trajectory(0)], context_of({}))


def test_patterns_are_as_frequent_as_planned_whatever_the_last_round_was() -> None:
    rows = [make_task(i, pattern="wrong_order") for i in range(20)]
    planned = context_of({}, planned=lambda table: {"wrong_order": 20})
    assert result_of("patterns_as_planned", "injected_tasks", rows, planned).passed
    other = context_of({}, planned=lambda table: {"wrong_order": 10, "wrong_address": 10})
    assert "wrong_address, 0 instead of 10" in refused("patterns_as_planned", "injected_tasks", rows, other)
    rounding = context_of({}, planned=lambda table: {"wrong_order": 19, "wrong_address": 1})
    assert result_of("patterns_as_planned", "injected_tasks", rows, rounding).passed
    assert "GateContext.planned" in refused("patterns_as_planned", "sft_tasks", rows, context_of({}))


def test_no_pattern_takes_most_of_the_pool_but_plain_tasks_may() -> None:
    plain = [PoolTask(task=make_task(i), added_in=ROUND, weight=1) for i in range(10)]
    hard = [PoolTask(task=make_task(i, pattern="wrong_order"), added_in=ROUND, weight=9) for i in range(10, 20)]
    assert result_of("pool_balanced", "task_pool", plain, context_of({})).passed
    assert "wrong_order has 90%" in refused("pool_balanced", "task_pool", [*plain, *hard], context_of({}))


def test_rejections_and_soundness_count_for_executability() -> None:
    tasks = [make_task(i) for i in range(4)]
    context = context_of({("injected_tasks", ROUND): tasks}, problems=lambda task: [])
    verdicts = [Verdict(task=t, executable=i < 1, reason="ok" if i < 1 else "no") for i, t in enumerate(tasks)]
    assert "75% of the tasks don't replay" in refused("verdicts_consistent", "executable_tasks", verdicts, context)
    assert result_of("accepted_sound", "executable_tasks", verdicts, context).passed
    broken = context_of({}, problems=lambda task: ["do_nothing_passes: the required state is the initial one"])
    said = refused("accepted_sound", "executable_tasks", verdicts, broken)
    assert "1 of 4 rows" in said and "do_nothing_passes" in said and tasks[0].task_id in said
    assert "GateContext.problems" in refused("accepted_sound", "executable_tasks", verdicts, context_of({}))


def make_attempt(index: int, **changes: object) -> Attempt:
    fields = {"attempt_id": f"attempt-{index}", "pattern": "none", "database_id": "db-train0", "n_replies": 1}
    return Attempt.model_validate(fields | {"made_by": "m/explorer@1", "prompt_version": "explorer@1"} | changes)


def test_an_attempt_that_came_to_something_names_a_row_of_its_round() -> None:
    kept, failed = make_attempt(0, trajectory_id="traj-0", reason="ok"), make_attempt(1, reason="nothing was changed")
    stored = context_of({("source_trajectories", ROUND): [make_trajectory(0)]})
    assert result_of("attempts_known", "exploration_attempts", [], stored).passed
    assert result_of("attempts_known", "exploration_attempts", [kept, failed], stored).passed
    lost = make_attempt(2, trajectory_id="traj-9", reason="ok")
    assert "attempt-2" in refused("attempts_known", "exploration_attempts", [kept, lost], stored)
    assert "attempt-0" in refused("unique_ids", "writing_attempts", [kept, kept], context_of({}))


def test_the_stored_violations_are_those_of_the_episodes() -> None:
    rows, table = [make_trajectory(i) for i in range(4)], "validation_rollouts"
    stored = {("validation_violations", ROUND): [breach(0)], (table, ROUND): rows}
    seen = context_of(stored, monitor=lambda row: [breach(0)] if row.trajectory_id == "traj-0" else [])
    result = result_of("conduct_counted", table, rows, seen)
    assert result.passed and result.numbers["break_repeated_call"] == 0.25
    assert "25% of the episodes break repeated_call" in result.message
    more = context_of(stored, monitor=lambda row: [breach(int(row.trajectory_id[-1]))])
    assert "traj-1/3/repeated_call/x again is not in" in refused("conduct_counted", table, rows, more)
    none = context_of(stored, monitor=lambda row: [])
    assert "the monitor does not" in refused("conduct_counted", table, rows, none)
    assert "GateContext.monitor" in refused("conduct_counted", table, rows, context_of(stored))
    assert result_of("episodes_known", "validation_violations", [breach(1)], seen).passed
    assert "'traj-9', which is not in" in refused("episodes_known", "validation_violations", [breach(9)], seen)


def test_what_is_imitated_keeps_the_rulebook_but_for_one_in_a_thousand() -> None:
    rows = [make_trajectory(i, 1.0) for i in range(1000)]
    clean = context_of({}, monitor=lambda row: [])
    assert result_of("rulebook_kept", "sft_trajectories", rows, clean).message == ""
    one = context_of({}, monitor=lambda row: [breach(7)] if row.trajectory_id == "traj-7" else [])
    result = result_of("rulebook_kept", "sft_trajectories", rows, one)
    assert result.passed and result.bad_ids == ("traj-7",) and "1 of 1000 rows tolerated" in result.message
    assert "1 of 999 rows refused" in refused("rulebook_kept", "sft_trajectories", rows[:999], one)


def test_outcomes_are_counted_again_from_the_episodes() -> None:
    played = [make_trajectory(i, float(i < 2), task_id="t0", policy_version="v") for i in range(3)]
    lost = make_trajectory(3, task_id="t0", policy_version="v", stop_reason=StopReason.INFRASTRUCTURE, messages=())
    task = make_task(0, pattern="wrong_order").model_copy(update={"task_id": "t0"})
    fault = UserFault(kind=UserFaultKind.EMPTY, turn=0, evidence="an empty message")
    spoilt = make_trajectory(4, 1.0, task_id="t0", policy_version="v", user_fault=fault)
    context = context_of({("test_rollouts", ROUND): [*played, lost, spoilt], ("test_tasks", BOOT): [task]})
    good = make_outcome("t0", 2, 3, n_excluded=2, n_user_faults=1)
    assert result_of("outcomes_add_up", "test_outcomes", [good], context).passed
    cases = {
        "(4, 3, 1, 0), the episodes give (3, 2, 2, 1)": [make_outcome("t0", 3, 4, n_excluded=1)],
        "its task has wrong_order": [good.model_copy(update={"pattern": "other"})],
        "v/t0: was played, but has no outcome": [],
    }
    for words, rows in cases.items():
        assert words in refused("outcomes_add_up", "test_outcomes", rows, context)


def test_reported_estimates_follow_from_the_outcomes() -> None:
    outcomes = [make_outcome("a", 4, 4), make_outcome("b", 2, 4)]
    context = context_of({("baseline_test_outcomes", BOOT): outcomes})
    line = make_pass_hat_k("sft", 1, 0.75, policy_version="v", n_tasks=2)
    assert result_of("estimates_follow", "pass_hat_k_report", [line], context).passed
    flattered = make_pass_hat_k("sft", 1, 0.85, policy_version="v", n_tasks=2)
    assert "the outcomes give 0.7500 over 2" in refused("estimates_follow", "pass_hat_k_report", [flattered], context)
    nobody = make_pass_hat_k("rl-round-002", 1, 0.75)
    assert "nan over 0" in refused("estimates_follow", "pass_hat_k_report", [nobody], context)


def test_advantages_of_a_group_add_up_to_nothing() -> None:
    base = make_trajectory().model_dump()
    rows = [
        RlRollout.model_validate(
            base | {"trajectory_id": f"traj-{i}", "train_step": 0, "group_id": "g", "advantage": a}
        )
        for i, a in enumerate((0.5, -0.5))
    ]
    assert result_of("advantages_centred", "rl_rollouts", rows, context_of({})).passed
    assert "mean 0.500" in refused("advantages_centred", "rl_rollouts", rows[:1], context_of({}))


def test_the_policy_under_test_is_one_that_training_stored() -> None:
    fields = {"checkpoint_id": "c", "policy": "sft", "kind": "sft", "path": "x", "n_parameters": 1, "seed": 0}
    row = Checkpoint.model_validate(fields | {"n_steps": 1, "parent_checkpoint_id": "b"})
    context = context_of({("sft_checkpoint", BOOT): [row]})
    assert result_of("policy_stored", "round_policy", [row], context).passed
    other = row.model_copy(update={"path": "elsewhere"})
    assert "not as it was stored" in refused("policy_stored", "round_policy", [other], context)
    assert "expected one policy" in refused("policy_stored", "round_policy", [row, row], context)


def test_every_gate_says_what_it_promises() -> None:
    for table in tables_with_gates():
        for gate in gates_for(table):
            assert len(gate.meaning) > 20 and gate.meaning[0].isupper(), gate.name
