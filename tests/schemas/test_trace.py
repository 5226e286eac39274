"""Promises of lineage: any id of the chain leads to the whole chain, and nothing else gets in."""

import io
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest

from schemas import Checkpoint, FailureCluster, PassHatK, Verdict, WarehouseError
from schemas.lineage import trace
from schemas.store import Warehouse
from schemas.trace import main, svg, text

FIRST, SECOND = "round-001", "round-002"
CHAIN = ("traj-1", "e1", "c1", "traj-9", "t1")
"""Ids of one failed rollout, its explanation and cluster, the source and the task that followed from it."""


def cluster(name: str, members: tuple[str, ...]) -> FailureCluster:
    return FailureCluster(
        cluster_id=name,
        label="never asks",
        terms=("asked",),
        pattern="wrong_variant",
        size=len(members),
        share=0.5,
        explanation_ids=members,
        example_texts=("it never asked",),
        silhouette=0.5,
        stability_ari=1.0,
    )


def checkpoint(round: str) -> Checkpoint:
    fields = {"kind": "rl", "path": "checkpoints/x", "n_parameters": 9, "seed": 0, "n_steps": 17}
    return Checkpoint(checkpoint_id=f"ckpt-{round}", policy=f"rl-{round}", parent_checkpoint_id="ckpt-sft", **fields)


def result(policy: str, version: str, k: int, rate: float) -> PassHatK:
    fields = {"ci_low": 0.0, "ci_high": 1.0, "n_tasks": 9, "n_trials": 4, "n_excluded": 0, "seed": 0}
    return PassHatK(policy=policy, policy_version=version, k=k, pass_hat_k=rate, **fields)


@pytest.fixture
def filled(warehouse: Warehouse, make: SimpleNamespace) -> Warehouse:
    """Two failures in two clusters; one task of the first cluster, trained on in both rounds; one untargeted task."""
    link = {"cluster_id": "c1", "source_trajectory_id": "traj-9"}
    targeted, other = make.task("t1").model_copy(update=link), make.task("t2")
    put = warehouse.replace_round
    put("validation_rollouts", FIRST, [make.trajectory(n, success=0.0) for n in (1, 2)])
    put("judge_explanations", FIRST, [make.explanation(n) for n in (1, 2)])
    put("failure_clusters", FIRST, [cluster("c1", ("e1",)), cluster("c2", ("e2",))])
    put("source_trajectories", FIRST, [make.trajectory(n) for n in (8, 9)])
    put("injected_tasks", FIRST, [targeted, other])
    put("executable_tasks", FIRST, [Verdict(task=t, executable=True, reason="ok") for t in (targeted, other)])
    for key in (FIRST, SECOND):
        put("task_pool", key, [make.pool_task("t1"), make.pool_task("t2")])
        episodes = [make.rl_rollout(n, train_step=3, success=n % 2) for n in range(4)]
        own = {"task_id": "t1", "group_id": f"g-{key}"}
        named = [row.model_copy(update={**own, "trajectory_id": f"rl-{key}-{row.seed}"}) for row in episodes]
        put("rl_rollouts", key, [*named, make.rl_rollout(7, train_step=4, success=1.0)])
        put("rl_checkpoint", key, [checkpoint(key)])
    results = [result(f"rl-{FIRST}", f"ckpt-{FIRST}", k, rate) for k, rate in ((1, 0.6), (2, 0.5))]
    put("pass_hat_k_report", FIRST, results)
    put("pass_hat_k_report", SECOND, [*results, result(f"rl-{SECOND}", f"ckpt-{SECOND}", 1, 0.7)])
    put("baseline_test_outcomes", "bootstrap", [make.outcome("x1", pattern="wrong_variant", n_successes=1)])
    outcome = make.outcome("x1", pattern="wrong_variant", n_successes=3)
    put("test_outcomes", FIRST, [outcome.model_copy(update={"policy": f"rl-{FIRST}"})])
    return warehouse


def ids(warehouse: Warehouse, start: str) -> dict[str, list[str]]:
    return {step.name: [row.id for row in step.rows] for step in trace(warehouse, start).steps}


@pytest.mark.parametrize("start", CHAIN)
def test_every_station_leads_to_the_same_chain(filled: Warehouse, start: str) -> None:
    found = ids(filled, start)
    assert list(found.values())[:5] == [[key] for key in CHAIN]
    assert found["verdicts"] == ["t1"] and found["pool"] == ["t1", "t1"]
    assert found["training groups"] == [f"g-{FIRST}", f"g-{SECOND}"]
    assert found["checkpoints"] == found["pass_hat_k"] == [f"ckpt-{FIRST}", f"ckpt-{SECOND}"]


def test_a_training_episode_leads_back_from_its_own_group_only(filled: Warehouse) -> None:
    found = ids(filled, f"rl-{SECOND}-2")
    assert found["training groups"] == [f"g-{SECOND}"] and found["checkpoints"] == [f"ckpt-{SECOND}"]
    assert found["failed rollouts"] == ["traj-1"]


def test_a_validation_task_leads_on_from_its_failures(filled: Warehouse) -> None:
    assert ids(filled, "task-2")["clusters"] == ["c2"] and ids(filled, "task-2")["injected tasks"] == []


def test_an_untargeted_task_has_no_failure_behind_it(filled: Warehouse) -> None:
    found = ids(filled, "t2")
    assert found["clusters"] == [] and found["pool"] == ["t2", "t2"] and found["training groups"] == []


def test_each_checkpoint_is_reported_once_from_its_own_round(filled: Warehouse) -> None:
    told = [row.text for row in trace(filled, "t1").step("pass_hat_k").rows]
    assert told == [f"rl-{FIRST}: Pass^1 60.0%, Pass^2 50.0%", f"rl-{SECOND}: Pass^1 70.0%"]


def test_the_chain_ends_with_what_became_of_the_pattern(filled: Warehouse) -> None:
    told = [row.text for row in trace(filled, "t1").step("success on the pattern").rows]
    assert told == ["sft: 25% of the trials of 1 test tasks", f"rl-{FIRST}: 75% of the trials of 1 test tasks"]


def test_an_id_that_no_row_has_is_refused_with_the_way_out(filled: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=r"trace\[nothing\].*look ids up"):
        trace(filled, "nothing")
    said = io.StringIO()
    assert main(["nothing", "--warehouse", filled.root], err=said) == 2 and "nothing" in said.getvalue()
    assert main(["t1", "--warehouse", str(tmp_path / "missing")], err=said) == 2 and "missing" in said.getvalue()


def test_a_quote_in_an_id_is_only_a_quote(filled: Warehouse) -> None:
    with pytest.raises(WarehouseError, match="expected the id"):
        trace(filled, "t1' OR '1'='1")


def test_the_terminal_shows_the_first_rows_and_counts_the_others(filled: Warehouse) -> None:
    shown = text(trace(filled, "t1"), 1)
    assert "training groups: 2 (rl_rollouts)" in shown and "... and 1 more" in shown and "never asks: 1" in shown


def test_what_a_judge_wrote_cannot_leave_its_line_or_the_picture(
    filled: Warehouse, make: SimpleNamespace, tmp_path: Path
) -> None:
    evil = make.explanation(1, text="</text><script>alert(1)</script>\n\x1b[31mred & 'more'")
    filled.replace_round("judge_explanations", FIRST, [evil])
    found = trace(filled, "t1")
    assert "\x1b" not in text(found) and "script>\n" not in text(found)
    picture = ET.fromstring(svg(found))
    assert {element.tag.rpartition("}")[2] for element in picture.iter()} == {"svg", "rect", "text", "path"}
    assert main(["t1", "--warehouse", filled.root, "--picture", str(tmp_path / "t.svg")], out=io.StringIO()) == 0
    assert (tmp_path / "t.svg").read_text(encoding="utf-8") == svg(found)
