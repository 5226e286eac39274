import hashlib
import json
from pathlib import Path

import pytest

from assets.plans import injection_plan, mix_of
from assets.profile import changed_profile, load_profile, pin_profile, profile_names, stored_profile
from env_sim.task_kits import load_task_kit
from env_sim.tasks import make_tasks, standard_mix
from schemas import ConfigError
from tests.fixtures.retail import database_row


def test_every_preset_loads_and_carries_its_name():
    assert {"embedded", "smoke"} <= set(profile_names())
    assert all(load_profile(name).name == name for name in profile_names())


def test_the_demo_profile_reports_at_least_a_hundred_tasks_with_four_trials():
    profile = load_profile("embedded")
    assert profile.tasks.test >= 100
    assert profile.trials.test >= 4
    assert profile.ks == (1, 2, 3, 4)
    assert profile.targeting == "clusters"


def test_overrides_reach_nested_keys_and_leave_the_rest():
    profile = load_profile("smoke", {"seed": 3, "grpo.n_steps": 9})
    assert (profile.seed, profile.grpo.n_steps, profile.grpo.group_size) == (
        3,
        9,
        load_profile("smoke").grpo.group_size,
    )


def test_an_unknown_profile_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"profile\[emboded\]: expected one of .*embedded.*smoke"):
        load_profile("emboded")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"grpo.n_stepz": 1}, r"smoke.yaml: grpo.n_stepz\]: expected one of .*n_steps.*did you mean n_steps"),
        ({"sedd": 1}, r"smoke.yaml: sedd\]: expected one of .*seed.*did you mean seed"),
        ({"tasks.sft": 0}, r"smoke.yaml: tasks.sft\]: expected greater than or equal to 1, got 0"),
        ({"targeting": "some"}, r"smoke.yaml: targeting\]: expected 'clusters', 'uniform' or 'none', got 'some'"),
        ({"seed.x": 1}, r"seed.x\]: expected seed to hold keys"),
        ({"rounds": 99}, r"rounds\]: expected less than or equal to 32, got 99"),
    ],
)
def test_a_bad_setting_is_named_with_what_was_expected(overrides: dict[str, object], said: str):
    with pytest.raises(ConfigError, match=said):
        load_profile("smoke", {"seed": 0, **overrides})


@pytest.mark.parametrize("content", ["- a list\n", "a: [", "just words"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, content: str):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"own\.yaml"):
        load_profile(str(path))


def test_an_own_file_is_a_profile(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("policy: {vocab_size: 600}\nseed: 4\n")
    assert (load_profile(str(path)).name, load_profile(str(path)).seed) == ("mine", 4)


def test_a_warehouse_keeps_its_profile_and_refuses_another_one(tmp_path: Path):
    assert stored_profile(tmp_path) is None
    first = pin_profile(tmp_path, load_profile("smoke"))
    assert stored_profile(tmp_path) == first
    with pytest.raises(ConfigError, match=r"seed: 0 there, 5 asked; targeting: clusters there, none asked"):
        pin_profile(tmp_path, load_profile("smoke", {"seed": 5, "targeting": "none"}))
    assert stored_profile(tmp_path) == first


def test_a_warehouse_may_go_on_for_more_rounds(tmp_path: Path):
    pin_profile(tmp_path, load_profile("smoke"))
    pin_profile(tmp_path, load_profile("smoke", {"rounds": 5}))
    stored = stored_profile(tmp_path)
    assert stored is not None
    assert stored.rounds == 5


@pytest.mark.parametrize("content", ["{", '{"seed": 1}'])
def test_a_damaged_stored_profile_is_an_error_that_names_the_file(tmp_path: Path, content: str):
    (tmp_path / "profile.json").write_text(content)
    with pytest.raises(ConfigError, match=r"profile\.json"):
        stored_profile(tmp_path)


def test_the_rows_of_the_presets_stay_what_they_were_when_patterns_are_added():
    profile = load_profile("embedded")
    assert profile.hard_patterns == load_profile("smoke").hard_patterns and len(profile.hard_patterns) == 11
    made = make_tasks("retail", [database_row()], standard_mix("retail", 0.25, profile.hard_patterns), 60, 2)
    ids = hashlib.sha256("".join(task.task_id for task in made).encode()).hexdigest()
    assert ids[:16] == "6c2112efccf9110e"


def test_a_profile_without_patterns_draws_from_the_whole_table(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text("policy: {vocab_size: 512}\n")
    assert load_profile(str(path)).hard_patterns == tuple(load_task_kit("retail").pattern_names())


def test_the_evaluation_may_hold_fewer_patterns_than_training():
    few = load_profile("smoke", {"tasks.eval_patterns": ["wrong_order", "ended_early"]})
    for table in ("validation_tasks", "test_tasks"):
        mix, n_tasks = mix_of(few, table)
        assert mix == {"none": 0.4, "wrong_order": 0.3, "ended_early": 0.3} and n_tasks == 12
        assert mix_of(load_profile("smoke"), table)[0].keys() == {"none", *few.hard_patterns}
    assert len(mix_of(few, "sft_tasks")[0]) == 12 and len(injection_plan(few, ()).counts) == 12


@pytest.mark.parametrize("asked", [["not_confirmed"], ["wrong_order", "wrong_order"]])
def test_an_evaluation_of_patterns_that_nobody_trains_is_refused(asked: list[str]):
    with pytest.raises(ConfigError, match=r"tasks\.eval_patterns.*each once, got " + ", ".join(asked)):
        load_profile("smoke", {"tasks.eval_patterns": asked})


@pytest.mark.parametrize(
    ("patterns", "said"),
    [
        (["wrong_oder"], r"patterns\]: expected failure patterns of retail .*unknown pattern 'wrong_oder'"),
        (["wrong_order+lost_in_search"], "both put the item otherwise|both put the order otherwise"),
        (["stale_intent+wrong_order"], r"write wrong_order\+stale_intent"),
        (["none"], "plain tasks have shares of their own"),
        (["hint_late", "hint_late"], "stands there twice"),
    ],
)
def test_a_pattern_that_cannot_be_written_is_named_when_the_profile_is_read(patterns: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        load_profile("smoke", {"patterns": patterns})


SERVED = {"served_policy.endpoint": {"base_url": "http://host/v1", "model": "strong"}}


def test_a_profile_names_every_role_that_a_model_may_play():
    profile = load_profile("smoke", {**SERVED, "rounds": 1})
    assert set(profile.roles()) >= {"served_policy", "judge"}
    assert set(profile.endpoints()) == {"served_policy"} and not profile.trains
    assert load_profile("smoke", {**SERVED, "served_policy.speaks": "tokens"}).trains


def test_rounds_without_training_between_them_are_refused():
    with pytest.raises(ConfigError, match=r"rounds\]: expected 1, because nothing is trained between rounds"):
        load_profile("smoke", SERVED)


def test_how_a_model_is_reached_may_change_in_a_warehouse_but_not_what_it_is_asked(tmp_path: Path):
    place = {"judge.endpoint": {"base_url": "http://host/v1", "model": "strong"}}
    stored = pin_profile(tmp_path, load_profile("smoke", place))
    moved = changed_profile(stored, {"judge.endpoint.base_url": "http://other/v1"}, "w")
    assert pin_profile(tmp_path, changed_profile(moved, {"judge.endpoint.timeout_s": 9}, "w")) == stored_profile(
        tmp_path
    )
    with pytest.raises(ConfigError, match=r"judge\.endpoint\.model: strong there, weak asked"):
        pin_profile(tmp_path, changed_profile(stored, {"judge.endpoint.model": "weak"}, "w"))


def test_how_an_embedder_is_reached_may_change_as_well(tmp_path: Path):
    place = {"clusters.embedder": {"base_url": "http://host/v1", "model": "strong"}}
    stored = pin_profile(tmp_path, load_profile("smoke", place))
    moved = pin_profile(tmp_path, changed_profile(stored, {"clusters.embedder.base_url": "http://other/v1"}, "w"))
    with pytest.raises(ConfigError, match=r"clusters\.embedder\.model: strong there, weak asked"):
        pin_profile(tmp_path, changed_profile(moved, {"clusters.embedder.model": "weak"}, "w"))


def test_where_a_checkpoint_of_ours_is_played_may_change_in_a_warehouse_but_not_who_plays(tmp_path: Path):
    stored = pin_profile(tmp_path, load_profile("smoke", {"rounds": 1}))
    ours = changed_profile(stored, {**SERVED, "served_policy.speaks": "tokens"}, "w")
    assert pin_profile(tmp_path, ours).endpoints()
    with pytest.raises(ConfigError, match=r"served_policy\.speaks: tokens there, chat asked"):
        pin_profile(tmp_path, changed_profile(ours, {"served_policy.speaks": "chat"}, "w"))


def test_a_warehouse_from_before_there_was_a_choice_of_clusters_goes_on_with_the_tree(tmp_path: Path) -> None:
    assert load_profile("embedded").clusters.method == "density"
    stored = json.loads(pin_profile(tmp_path, load_profile("embedded")).model_dump_json())
    del stored["clusters"]["method"]
    (tmp_path / "profile.json").write_text(json.dumps(stored))
    assert pin_profile(tmp_path, load_profile("embedded", {"clusters.method": "tree"})).clusters.method == "tree"
    with pytest.raises(ConfigError, match=r"clusters\.method: tree there, density asked"):
        pin_profile(tmp_path, load_profile("embedded"))
