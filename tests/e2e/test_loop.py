"""Two rounds with the scripted trainer: what the loop promises, whatever the policy."""

import base64
import re
from datetime import timedelta
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.pages import write_gate_page
from assets.profile import pin_profile
from jobs.__main__ import main
from jobs.control import control_profile, control_root, copy_bootstrap
from jobs.progress import is_finished, unfinished
from jobs.runner import LoopRunner
from jobs.tables import arms_text, results_text
from schemas import BOOTSTRAP, Checkpoint, ConfigError, GateError, PassHatK
from schemas.columns import TABLES
from schemas.store import Warehouse
from tests.fixtures.loop import scripted_definitions, scripted_runner

ROUNDS = ("round-001", "round-002")


def contents(warehouse: Warehouse) -> dict[str, object]:
    """All rows, but for the table version that a checkpoint was trained on: writing rows again raises it."""
    return {
        f"{table}/{round}": [
            row.model_copy(update={"pool_version": None}) if isinstance(row, Checkpoint) else row
            for row in warehouse.read(table, round)
        ]
        for table in TABLES
        if table != "gate_results"
        for round in warehouse.rounds(table)
    }


def test_the_report_has_every_policy_with_interval_and_counts(runner: LoopRunner):
    rows = runner.warehouse.scan("pass_hat_k_report").filter(pl.col("round") == "round-002").collect()
    wanted = {"policy", "k", "pass_hat_k", "ci_low", "ci_high", "n_tasks", "n_trials", "seed"}
    assert wanted <= set(rows.columns)
    assert rows["policy"].unique(maintain_order=True).to_list() == ["base", "sft", "rl-round-001", "rl-round-002"]
    assert rows["k"].unique().sort().to_list() == [1, 2]
    assert rows.filter(pl.col("pass_hat_k").is_between(pl.col("ci_low"), pl.col("ci_high"))).height == rows.height
    assert rows["n_tasks"].unique().to_list() == [12]


@pytest.mark.parametrize("table", [name for name, spec in TABLES.items() if spec.origins])
def test_every_value_is_found_in_the_columns_it_is_taken_from(runner: LoopRunner, table: str):
    rows = runner.warehouse.scan(table).collect()
    for column, origins in TABLES[table].origins.items():
        known: set[str] = set()
        for origin in origins:
            other, _, name = origin.partition(".")
            known.update(map(repr, runner.warehouse.scan(other).select(name).collect()[name].to_list()))
        values = rows[column].drop_nulls().to_list()
        found = [item for value in values for item in (value if isinstance(value, list) else [value])]
        assert {repr(item) for item in found} <= known or {repr(value) for value in values} <= known, column


def test_one_query_follows_a_failure_to_the_training_group_it_led_to(runner: LoopRunner):
    found = runner.warehouse.sql(
        """
        select v.trajectory_id, e.pattern, p.task_id, p.pattern as injected, r.group_id, c.checkpoint_id
        from validation_rollouts v
        join judge_explanations e on e.trajectory_id = v.trajectory_id and e.round = v.round
        join failure_clusters f on list_contains(f.explanation_ids, e.explanation_id) and f.round = e.round
        join task_pool p on p.cluster_id = f.cluster_id and p.round = f.round
        join rl_rollouts r on r.task_id = p.task_id and r.round = p.round
        join rl_checkpoint c on c.round = r.round
        """
    )
    assert found.num_rows > 0


def test_the_pool_of_a_round_holds_the_accepted_tasks_of_all_rounds_so_far(runner: LoopRunner):
    pool = runner.warehouse.scan("task_pool").select("round", "task_id", "added_in").collect()
    second = pool.filter(pl.col("round") == "round-002")
    assert set(second["added_in"]) == set(ROUNDS)
    assert set(pool.filter(pl.col("round") == "round-001")["task_id"]) <= set(second["task_id"])


def test_the_policy_under_test_is_the_one_that_the_round_before_trained(runner: LoopRunner):
    read = runner.warehouse.read
    assert read("round_policy", "round-001") == read("sft_checkpoint", BOOTSTRAP)
    assert read("round_policy", "round-002") == read("rl_checkpoint", "round-001")
    assert read("round_policy", "round-003") == read("rl_checkpoint", "round-002")


def test_a_rounds_policy_is_the_mean_of_its_run_and_the_rounds_before(runner: LoopRunner):
    first, second = (runner.warehouse.read("rl_checkpoint", key)[0] for key in ROUNDS)
    assert (first.n_steps, second.n_steps) == (1, 2)
    assert second.n_parameters == 1 + first.n_steps  # the scripted trainer says which mean it was given
    assert second.parent_checkpoint_id == runner.warehouse.read("sft_checkpoint", BOOTSTRAP)[0].checkpoint_id


def test_a_finished_loop_has_nothing_left_to_do_and_a_rerun_gives_the_same_rows(runner: LoopRunner, tmp_path: Path):
    job = scripted_definitions().resolve_job_def("one_round")
    assert unfinished(runner.warehouse, runner.profile, job, "round-002") == []
    before = contents(runner.warehouse)
    with scripted_runner(tmp_path) as again:
        again.run_bootstrap()
        for key in ROUNDS:
            again.run_round(key)
        assert contents(again.warehouse) == before
        job.execute_in_process(
            run_config={"resources": {"warehouse": {"config": {"root": again.warehouse.root}}}},
            partition_key="round-002",
        )
        assert contents(again.warehouse) == before


def test_an_interrupted_round_goes_on_from_the_last_finished_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import assets.training

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with scripted_runner(tmp_path) as runner:
        runner.run_bootstrap()
        with monkeypatch.context() as patch:
            patch.setattr(assets.training, "announce", killed)
            with pytest.raises((KeyboardInterrupt, dg.DagsterExecutionInterruptedError)):
                runner.run_round("round-001")
        job = scripted_definitions().resolve_job_def("one_round")
        left = [key.to_user_string() for key in unfinished(runner.warehouse, runner.profile, job, "round-001")]
        assert left[0] == "rl_checkpoint"
        assert "task_pool" not in left
        runner.run_round("round-001")
        assert unfinished(runner.warehouse, runner.profile, job, "round-001") == []


def test_a_failed_gate_stops_the_run_and_names_gate_and_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import assets.tasks

    monkeypatch.setattr(assets.tasks, "make_tasks", lambda *_: [])
    with scripted_runner(tmp_path) as runner:
        with pytest.raises(GateError, match=r"_tasks\[bootstrap\]: not_empty: .*; run the asset again"):
            runner.run_bootstrap()
        assert not runner.warehouse.rounds("sft_trajectories")
        monkeypatch.undo()
        runner.run_bootstrap()
        assert runner.warehouse.read("sft_trajectories", BOOTSTRAP)


def test_a_waived_round_lets_the_loop_go_on_and_the_page_shows_who_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("quality.world_gates.wording_key", lambda task: "the same")
    with scripted_runner(tmp_path) as runner:
        with pytest.raises(GateError, match="tasks_distinct"):
            runner.run_bootstrap()
        monkeypatch.undo()
        refused = min(row["table"] for row in runner.warehouse.sql(FAILED).to_pylist())
        words = ["--reason", "the twins are meant", "--by", "mira", "--warehouse", str(tmp_path)]
        assert main(["waive", refused, BOOTSTRAP, *words]) == 0
        assert is_finished(runner.warehouse, runner.profile, refused, BOOTSTRAP)
        page = write_gate_page(runner.warehouse, BOOTSTRAP).read_text()
        assert "mira lets it be read" in page and "tasks distinct" in page
        assert runner.warehouse.read(refused, BOOTSTRAP)


FAILED = 'select "table" from gate_results where not passed'


def test_violations_of_all_played_episodes_are_typed_rows_with_their_turn(runner: LoopRunner):
    for split in ("validation", "baseline_test", "test", "rl"):
        query = f"""
            select distinct r.messages[v.turn + 1].role as role
            from {split}_violations v join {split}_rollouts r using (trajectory_id)
        """
        assert runner.warehouse.sql(query).to_pylist() == [{"role": "assistant"}], split
    told = metadata(runner, "validation_violations", "round-001")
    assert 0 < told["breach_share"].value <= 1
    assert "needless_transfer" in told["by_rule"].value


def test_every_materialization_tells_rows_versions_seed_and_duration(runner: LoopRunner):
    for table, partition in (("task_pool", "round-002"), ("rl_checkpoint", "round-001"), ("test_tasks", None)):
        told = metadata(runner, table, partition)
        rows = "dagster/partition_row_count" if partition else "dagster/row_count"
        wanted = {rows, "table_version", "schema_version", "versions_read", "seed", "duration_s"}
        assert wanted | {"dagster/column_schema", "dagster/column_lineage"} <= set(told)
    assert metadata(runner, "task_pool", "round-002")["versions_read"].value["executable_tasks"] > 0
    assert "policy_version" in metadata(runner, "validation_rollouts", "round-001")


@pytest.mark.parametrize(
    ("asset", "entry"),
    [("pass_hat_k_report", "plot"), ("failure_clusters", "map"), ("task_pool", "plot"), ("rl_metrics", "curves")],
)
def test_plots_stand_where_a_person_looks(runner: LoopRunner, asset: str, entry: str):
    text = str(metadata(runner, asset, "round-001")[entry].value)
    found = re.fullmatch(r"!\[[^]]*\]\(data:image/png;base64,([^)]+)\)", text)
    assert found is not None
    assert base64.b64decode(found[1]).startswith(b"\x89PNG")


def test_the_page_of_a_round_is_written_and_its_place_told(runner: LoopRunner):
    page = Path(runner.warehouse.root, "reports", "round-002.html")
    assert page.as_uri() == metadata(runner, "round_report", "round-002")["page"].value
    assert "Pass^k" in page.read_text()


def test_a_page_is_made_again_bit_by_bit_from_its_tag_after_rewrites_and_upkeep(tmp_path: Path):
    with scripted_runner(tmp_path / "w") as runner:
        runner.run_bootstrap()
        runner.run_round("round-001")
        warehouse, page = runner.warehouse, Path(runner.warehouse.root, "reports", "round-001.html").read_bytes()
        said = metadata(runner, "round_report", "round-001")
        assert said["tag"].value == "report-round-001"
        read = dict(said["versions_read"].value)
        assert read.items() <= warehouse.tags()["report-round-001"].items()
    for table in read:
        for key in warehouse.rounds(table):
            warehouse.replace_round(table, key, [])
    warehouse.tidy(timedelta(0))
    again = tmp_path / "again.html"
    arguments = ["report", "1", "--warehouse", warehouse.root, "--out", str(again)]
    assert main(arguments) == 0
    assert again.read_bytes() == page
    assert main([*arguments, "--as-of", "nothing"]) == 2


def test_the_printed_results_show_table_differences_and_places(runner: LoopRunner):
    text = results_text(runner.warehouse.root)
    for part in ("rl-round-002", "Pass^1 %", "rl-round-001 over sft", "python -m jobs ui", runner.warehouse.root):
        assert part in text


def test_the_control_arm_shares_the_bootstrap_and_trains_on_plain_tasks(runner: LoopRunner):
    root = control_root(runner.warehouse.root)
    copied = Warehouse.open(root)
    copy_bootstrap(runner.warehouse, copied)
    assert contents(copied) == {
        key: rows for key, rows in contents(runner.warehouse).items() if key.endswith(BOOTSTRAP)
    } | {"round_policy/round-001": runner.warehouse.read("round_policy", "round-001")}
    profile = control_profile(runner.warehouse.root)
    assert profile.targeting == "none"
    job = scripted_definitions().resolve_job_def("bootstrap")
    assert unfinished(copied, profile, job, BOOTSTRAP) == []
    with scripted_runner(root, targeting="none") as control:
        control.run_bootstrap()
        control.run_round("round-001")
    gains = arms_text(runner.warehouse.root, root).splitlines()
    assert gains[0] == f"{runner.warehouse.root} over {root}, paired by task:"
    assert [line.split(":")[0] for line in gains[1:]] == [
        "  Pass^1  rl-round-001 over rl-round-001", "  Pass^2  rl-round-001 over rl-round-001"
    ]  # fmt: skip
    pool = copied.scan("task_pool").select("pattern", "cluster_id").collect()
    assert set(pool["pattern"]) == {"none"}
    assert pool["cluster_id"].null_count() == pool.height


def test_an_arm_of_uniform_targeting_lives_beside_the_other_and_arms_have_no_arms(runner: LoopRunner):
    root = control_root(runner.warehouse.root, "uniform")
    assert root != control_root(runner.warehouse.root)
    profile = control_profile(runner.warehouse.root, "uniform")
    assert profile.targeting == "uniform"
    pin_profile(root, profile)
    with pytest.raises(ConfigError, match="got a control arm"):
        control_profile(root, "none")


def test_the_reward_ablation_compares_three_rewards(runner: LoopRunner):
    runner.run_ablation("round-001")
    rows = runner.warehouse.read("reward_ablation_report", "round-001")
    names = {row.policy for row in rows if isinstance(row, PassHatK)}
    assert names == {f"rl-round-001-{name}" for name in ("full", "no-repeat-penalty", "success-only")}


def metadata(runner: LoopRunner, asset: str, partition: str | None) -> dict:
    records = runner.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[partition] if partition else None), limit=1
    )
    return records.records[0].asset_materialization.metadata
