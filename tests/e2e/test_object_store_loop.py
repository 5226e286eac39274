"""The loop over an object store: the same assets, with the warehouse at a URI."""

from pathlib import Path

import pytest

from schemas.store import Warehouse
from tests.fixtures.loop import scripted_runner
from tests.fixtures.object_store import BUCKET, ObjectStore


@pytest.mark.slow
def test_a_round_runs_in_a_bucket_and_its_files_lie_in_the_folder_that_was_named(
    object_store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FAULTLINE_FILES", str(tmp_path / "files"))
    monkeypatch.chdir(tmp_path)
    root = f"s3://{BUCKET}/loop"
    with scripted_runner(root) as runner:
        runner.run_bootstrap()
        runner.run_round("round-001")
    warehouse = Warehouse.open(root)
    assert warehouse.read("pass_hat_k_report", "round-001", allow_ungated=True)
    (checkpoint,) = warehouse.read_arrow("rl_checkpoint", "round-001", allow_ungated=True).to_pylist()
    files = tmp_path / "files" / BUCKET / "loop"
    assert (files / checkpoint["path"]).is_dir()
    assert (files / "reports" / "round-001.html").is_file()
    assert set(warehouse.tags()) == {"pass-hat-k-round-001", "report-round-001"}
    assert [path.name for path in tmp_path.iterdir()] == ["files"]
