"""A dry run says what models would be asked and what that costs; it asks nothing and writes nothing."""

from pathlib import Path

import pytest

from assets.profile import Profile, load_profile
from env_sim.chat.endpoint import Endpoint
from jobs.__main__ import main
from jobs.dry_run import AGENT_MESSAGES, FAILED_SHARE, LOADS, Estimate, Load, Scope, dry_run_text, estimate
from tests.fixtures.chat_server import Served, completion, serving


def profile(**changed: object) -> Profile:
    return load_profile("smoke", {"rounds": 1, "judge.endpoint": {"base_url": "http://h/v1", "model": "m"}, **changed})


def test_a_judge_is_asked_once_a_vote_of_each_failure_that_is_expected() -> None:
    (row,) = estimate(Scope(profile(**{"judge.asking.n_votes": 3}), 1, with_bootstrap=True))
    n_episodes = 12 * 2
    assert (row.role, row.load.n_calls) == ("judge", n_episodes * FAILED_SHARE * 3)


def test_a_served_model_plays_its_own_episodes_and_one_checkpoint_of_ours_only_its_share() -> None:
    place = {"served_policy.endpoint": {"base_url": "http://h/v1", "model": "m"}}
    chat = estimate(Scope(profile(**place), 1, with_bootstrap=True))
    assert {row.role: row.load.n_calls for row in chat}["served_policy"] == (24 + 24) * AGENT_MESSAGES
    # A round alone has no test episodes, because nothing trains a policy to test.
    chat = estimate(Scope(profile(**place), 1, with_bootstrap=False))
    assert {row.role: row.load.n_calls for row in chat}["served_policy"] == 24 * AGENT_MESSAGES


@pytest.mark.parametrize(
    ("changed", "bound", "seconds"),
    [({"max_concurrent": 10}, "max_concurrent", 100 * (0.5 + 40 / 40) / 10),
     ({"max_concurrent": 10, "tokens_per_minute": 1400}, "tokens_per_minute", 600),
     ({"max_concurrent": 10, "max_tokens": 20}, "max_concurrent", 100 * (0.5 + 20 / 40) / 10)],
)  # fmt: skip
def test_time_is_what_concurrency_or_the_budget_of_tokens_leaves(
    changed: dict[str, int], bound: str, seconds: float
) -> None:
    place = Endpoint.model_validate({"base_url": "http://h/v1", "model": "m", **changed})
    assert Estimate("judge", place, Load(100, 100, 40, "")).duration_s == (pytest.approx(seconds), bound)


def test_cost_is_tokens_times_the_settings_prices() -> None:
    prices = {"usd_per_million_input_tokens": 2.0, "usd_per_million_output_tokens": 10.0}
    place = Endpoint.model_validate({"base_url": "http://h/v1", "model": "m", **prices})
    assert Estimate("judge", place, Load(1000, 500, 100, "")).cost_usd == pytest.approx(1.0 + 1.0)


def test_a_role_that_nobody_can_estimate_is_named_and_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(LOADS, "judge")  # type: ignore[arg-type]
    assert "not estimated: judge" in dry_run_text(Scope(profile(), 1, with_bootstrap=True))


def test_every_role_of_the_profile_has_an_estimate() -> None:
    assert set(load_profile("embedded").roles()) <= set(LOADS)


def command(root: Path, base_url: str, *more: str) -> list[str]:
    place = [f"judge.endpoint.base_url={base_url}", "judge.endpoint.model=strong"]
    sets = [part for each in place for part in ("--set", each)]
    return ["demo", "--profile", "smoke", "--warehouse", str(root / "w"), "--dry-run", *sets, *more]


def test_a_dry_run_asks_nothing_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda body, number: completion()) as server:
        assert main(command(tmp_path, server.base_url)) == 0
        assert server.n_served == 0
    told = capsys.readouterr().out
    assert "strong" in told and "Assumed: 50% of the validation episodes fail" in told
    assert main(["round", "1", "--profile", "smoke", "--warehouse", str(tmp_path / "w"), "--dry-run"]) == 0
    assert "no calls, no cost" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_what_would_stop_a_run_is_said_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refusal = Served({"error": {"message": "bad key"}}, 401)
    for base_url, more, said in (
        ("http://127.0.0.1:9/v1", (), "start the server, or correct base_url"),
        ("http://127.0.0.1:9/v1", ("--set", "judge.endpoint.key_env=NO_SUCH_KEY"), "environment variable NO_SUCH_KEY"),
    ):
        assert main(command(tmp_path, base_url, *more)) == 2
        caught = capsys.readouterr()
        assert "Nothing was asked" in caught.out and said in caught.err
    with serving(lambda body, number: completion(), models=refusal) as server:
        assert main(command(tmp_path, server.base_url)) == 2
        assert "name the key's variable in key_env" in capsys.readouterr().err
    with serving(lambda body, number: completion(), models=Served({}, 404)) as server:
        assert main(command(tmp_path, server.base_url)) == 0
