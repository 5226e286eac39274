from pathlib import Path

import pytest

from assets.profile import load_profile, pin_profile, stored_profile
from jobs.__main__ import main
from jobs.runner import open_runner
from schemas import ConcurrentWriteError, UnknownRoundError
from tests.fixtures.loop import scripted_runner


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["demo", "--profile", "nope"], "profile[nope]: expected one of embedded"),
        (["demo", "--profile", "smoke", "--set", "grpo.n_stepz=1"], "did you mean n_steps?"),
        (["demo", "--profile", "smoke", "--set", "seed"], "--set[seed]: expected key=value"),
        (["demo", "--profile", "smoke", "--set", "domain=railway"], "expected one of airline, retail"),
        (["demo", "--profile", "smoke", "--rounds", "40"], "rounds]: expected less than or equal to 32"),
        (["round", "99"], "round[round-099]: expected one of round-001..round-032"),
        (["round", "round-1"], "round[round-1]"),
        (["control"], "expected a warehouse with a profile"),
        (["waive", "task_pool", "round-001", "--reason", "looked"], "expected a folder, got none"),
        (["table"], "run `python -m jobs demo` first"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], said: str
):
    assert main([*command, "--warehouse", str(tmp_path / "w")]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert said in errors
    assert "Traceback" not in errors


def test_another_profile_in_the_same_root_is_refused_with_the_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pin_profile(tmp_path, load_profile("smoke"))
    assert main(["demo", "--warehouse", str(tmp_path), "--seed", "3"]) == 2
    assert "seed: 0 there, 3 asked" in capsys.readouterr().err
    stored = stored_profile(tmp_path)
    assert stored is not None
    assert stored.seed == 0


def test_a_warehouse_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "file"
    path.write_text("")
    assert main(["demo", "--profile", "smoke", "--warehouse", str(path)]) == 2
    assert "error: " in capsys.readouterr().err


def test_a_round_without_a_policy_to_test_names_the_round_to_run_first(tmp_path: Path):
    with scripted_runner(tmp_path) as runner, pytest.raises(UnknownRoundError, match="run round-001 first"):
        runner.run_round("round-002")


def test_two_runners_never_work_on_one_warehouse(tmp_path: Path):
    profile = load_profile("smoke")
    with open_runner(tmp_path, profile), pytest.raises(ConcurrentWriteError), open_runner(tmp_path, profile):
        pass
