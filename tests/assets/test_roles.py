"""A profile says who judges; a model at an endpoint does it over the wire, and a rerun pays nothing."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets.model_calls import ModelCalls
from assets.profile import Profile, load_profile, pin_profile
from assets.roles import clustered, explained, mapped, stored_embedder
from assets.task_roles import TaskMaker
from env_sim.chat.usage import Usage
from env_sim.planted import PlantedFailure
from env_sim.tasks import make_tasks
from jobs.likeness import found_text
from quality.cluster_map import FailureMap
from quality.judge import Failure
from quality.judge_measure import planted_set
from quality.task_words import embeddings_of
from schemas import Blame, ConfigError, Explanation, FailureCluster, Verdict, WarehouseError
from schemas.derived import VECTOR_WIDTH
from schemas.store import Warehouse
from tests.fixtures.chat_server import completion, embeddings, serving
from tests.fixtures.retail import databases

SAID = {
    "text": "It ended too soon.",
    "blame": "agent",
    "decisive_turn": 1,
    "evidence_turns": [1],
    "pattern": "ended_early",
}


@cache
def planted() -> tuple[PlantedFailure, ...]:
    return tuple(each for each in planted_set("retail", per_pattern=1) if each.blame is Blame.AGENT)


def failures() -> list[Failure]:
    return [Failure(each.task, each.trajectory) for each in planted()]


def judged(root: Path, settings: Profile) -> tuple[list[Explanation], Usage]:
    with ModelCalls(str(root), "round-001", "judge_explanations", len(failures())) as calls:
        return explained(settings, failures(), calls), calls.usage


def profile(**judge: Any) -> Profile:
    return load_profile("smoke", {f"judge.{key}": value for key, value in judge.items()})


def test_without_an_endpoint_the_program_judges_and_nothing_is_called(tmp_path: Path) -> None:
    rows, usage = judged(tmp_path, profile())
    assert {row.made_by for row in rows} == {"diff-judge/1"} and usage.n_calls == 0
    assert not list(tmp_path.iterdir())


def test_a_model_judges_with_the_rulebook_and_the_patterns_before_it_and_a_rerun_costs_nothing(tmp_path: Path) -> None:
    with serving(lambda body, number: completion(json.dumps(SAID))) as server:
        place = {"base_url": server.base_url, "model": "strong", "usd_per_million_input_tokens": 1.0}
        asking = {"n_votes": 2}
        rows, usage = judged(tmp_path, profile(endpoint=place, asking=asking))
        again, nothing = judged(tmp_path, profile(endpoint=place, asking=asking))
        text = server.requests[0]["messages"][0]["content"]
    assert [row.trajectory_id for row in rows] == [each.trajectory.trajectory_id for each in failures()]
    assert all(row.blame is Blame.AGENT and row.made_by.startswith("strong/judge@") for row in rows)
    assert usage.n_calls == 2 * len(rows) and usage.cost_usd == pytest.approx(usage.input_tokens / 1e6)
    assert again == rows and nothing.n_cached == nothing.n_calls and nothing.cost_usd == 0
    ledger = Warehouse.open(tmp_path).sql(
        "select role, made_for, round, cached, count(*) as n, sum(cost_usd) as usd from llm_calls "
        "group by all order by cached"
    )
    told = {"role": "judge", "made_for": "judge_explanations", "round": "round-001", "n": usage.n_calls}
    paid = {**told, "cached": False, "usd": pytest.approx(usage.cost_usd)}
    assert ledger.to_pylist() == [paid, {**told, "cached": True, "usd": 0.0}]
    assert "pending order" in text.lower() and "- wrong_order:" in text


def test_an_endpoint_that_cannot_be_one_is_refused_before_anything_is_spent() -> None:
    with pytest.raises(ConfigError, match=r"judge\.endpoint\.base_url"):
        profile(endpoint={"base_url": "localhost", "model": "m"})
    with pytest.raises(ConfigError, match=r"judge\.asking\.n_votes"):
        profile(asking={"n_votes": 0})


@cache
def blamed() -> tuple[Explanation, ...]:
    with ModelCalls("", "round-001", "judge_explanations") as calls:
        return tuple(row for row in explained(profile(), failures(), calls) if row.blame is Blame.AGENT)


def grouped(root: Path, settings: Profile) -> tuple[list[FailureCluster], FailureMap, Usage]:
    with ModelCalls(str(root), "round-001", "failure_clusters") as calls:
        return *clustered(settings, blamed(), [], calls), calls.usage


def test_without_endpoints_clusters_are_made_here_and_nothing_is_called(tmp_path: Path) -> None:
    rows, points, usage = grouped(tmp_path, profile())
    assert rows and len(points.xy) == len(blamed()) and usage.n_calls == 0
    assert not list(tmp_path.iterdir())


def test_models_embed_and_name_clusters_and_a_rerun_costs_nothing(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        if "input" in body:
            return embeddings([[1.0, 0.0] if "order" in text else [0.0, 1.0] for text in body["input"]])
        return completion(json.dumps({"label": "a name by a model"}))

    with serving(answer) as server:
        place = {"base_url": server.base_url, "model": "strong", "usd_per_million_input_tokens": 1.0}
        asked = load_profile("smoke", {"clusters.embedder": place, "clusters.labels": place})
        first = grouped(tmp_path, asked)
        again = grouped(tmp_path, asked)
        n_sent = len(server.requests)
    rows, _, usage = first
    assert {row.label for row in rows} == {"a name by a model"}
    assert again[0] == rows and again[2].n_cached == again[2].n_calls and again[2].cost_usd == 0
    assert n_sent == 1 + len(rows) and usage.cost_usd > 0
    roles = Warehouse.open(tmp_path).sql("select distinct role from llm_calls where made_for = 'failure_clusters'")
    assert len(roles) == 2


def test_the_profiles_embedder_makes_the_vectors_that_are_stored_and_searched_and_the_map(tmp_path: Path) -> None:
    def answer(body: dict[str, Any], number: int) -> Any:
        return embeddings([[1.0, 0.0, 0.1] if "order" in text else [0.0, 1.0, 0.1] for text in body["input"]])

    with serving(answer) as server:
        place = {"base_url": server.base_url, "model": "strong"}
        asked = pin_profile(tmp_path, load_profile("smoke", {"clusters.embedder": place}))
        rows, points, _ = grouped(tmp_path, asked)
        with ModelCalls(str(tmp_path), "round-001", "embeddings") as calls:
            stored = embeddings_of(blamed(), [], stored_embedder(asked, calls))
        Warehouse.open(tmp_path).replace_round("embeddings", "round-001", stored)
        n_sent = len(server.requests)
        with ModelCalls(str(tmp_path), "round-001", "round_report") as calls:
            again = mapped(asked, blamed(), rows, calls)
        assert len(server.requests) == n_sent and again is not None
        np.testing.assert_array_equal(again.xy, points.xy)
        found = found_text(tmp_path, "judge_explanations", "which order", None, "vector", None, 1)
        assert len(server.requests) == n_sent + 1
    assert {row.model for row in stored} == {"strong"} and {len(row.vector) for row in stored} == {VECTOR_WIDTH}
    assert " 1.0000 " in found and "order" in found.splitlines()[1]
    ledger = Warehouse.open(tmp_path).sql("select distinct made_for from llm_calls order by 1")
    assert ledger["made_for"].to_pylist() == ["embeddings", "failure_clusters", "round_report", "search"]


def test_rounds_of_another_embedder_are_told_and_a_search_among_them_alone_is_refused(tmp_path: Path) -> None:
    warehouse, rows = Warehouse.open(tmp_path), embeddings_of(blamed(), [])
    pin_profile(tmp_path, load_profile("smoke"))
    warehouse.replace_round("embeddings", "round-001", rows)
    warehouse.replace_round("embeddings", "round-002", [row.model_copy(update={"model": "other/1"}) for row in rows])
    found = found_text(tmp_path, "judge_explanations", "which order", None, "hybrid", None, 3)
    assert found.splitlines()[-1] == "not searched: round-002, whose vectors are of other/1"
    with pytest.raises(WarehouseError, match=r"expected vectors of hashed-words/1, got other/1 \(round-002\)"):
        found_text(tmp_path, "judge_explanations", "which order", None, "hybrid", "round-002", 3)
    assert "not searched" not in found_text(tmp_path, "judge_explanations", "order", None, "text", None, 3)


def test_a_sentence_transformer_is_taken_when_the_profile_names_one(tmp_path: Path) -> None:
    asked = load_profile("smoke", {"clusters.sentence_transformer": "some/model"})
    with pytest.raises(ConfigError, match=r"faultline\[sentence-transformers\]"):
        grouped(tmp_path, asked)


def test_a_program_s_task_is_replayed_and_with_all_checks_it_is_refused_where_its_pattern_is_not_there() -> None:
    made = make_tasks("retail", list(databases().values()), {"wrong_variant": 2, "none": 1}, 30, 3)
    pretended = {task.task_id for task in made if task.pattern == "none"}
    made = [task.model_copy(update={"pattern": "wrong_variant"}) for task in made]

    def verdicts(checks: str) -> list[Verdict]:
        with ModelCalls("", "round-001", "executable_tasks") as calls:
            settings = load_profile("smoke", {"injection.checks": checks})
            return list(TaskMaker(settings, calls, databases(), lambda purpose: 1).checked(made, (), ()).rows)

    assert all(verdict.executable for verdict in verdicts("replay"))
    refused = {verdict.task.task_id: verdict.reason for verdict in verdicts("all") if not verdict.executable}
    assert set(refused.values()) == {"pattern: the naive agent solves it, whichever record it takes"}
    assert refused.keys() == pretended and 0 < len(pretended) < len(made)
