"""Promises of the warehouse on a full disk and in a folder that can't be written: a clear error, the old round intact.

Each case runs in a mount namespace of its own, so that a real small file system can be filled or made read-only.
"""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]

STORY = """
import os, sys
from pathlib import Path
from schemas import TaskOutcome, WarehouseError
from schemas.store import Warehouse
folder, case = Path(sys.argv[1]), sys.argv[2]
def rows(mark, n=20):
    return [TaskOutcome(policy=mark, policy_version="v", task_id=os.urandom(32).hex() if n > 20 else f"t{i}",
                        pattern="none", n_trials=4, n_successes=1, n_excluded=0, seed=1) for i in range(n)]
warehouse = Warehouse.open(folder / "warehouse")
warehouse.replace_round("test_outcomes", "round-001", rows("old"))
before = warehouse.version("test_outcomes")
if case.startswith("full"):
    with (folder / "filler").open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"x" * 512)
        except OSError:
            pass
elif case.startswith("read-only"):
    os.system(f"mount -o remount,ro {folder}")
elif case.startswith("foreign"):
    os.chmod(folder, 0o755)
    os.setuid(65534)
elif case.startswith("too-large"):
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
table = "validation_outcomes" if case.endswith("first") else "test_outcomes"
new = [] if case.endswith("empty") else rows("new", 20 if not case.startswith("too-large") else 2000)
try:
    warehouse.replace_round(table, "round-001", new)
except WarehouseError as error:
    print(type(error).__name__, error)
again = Warehouse.open(folder / "warehouse")
assert again.read("test_outcomes", "round-001", allow_ungated=True) == rows("old")
assert again.version("test_outcomes") == before
assert again.sql("select count(*) as n from test_outcomes").to_pydict() == {"n": [20]}
if case.startswith("full"):
    os.unlink(folder / "filler")
    again.replace_round("test_outcomes", "round-001", rows("later"))
    assert again.read("test_outcomes", "round-001", allow_ungated=True) == rows("later")
"""


def told(folder: Path, case: str) -> str:
    """What a writer is told in a file system of 1 MB of its own; skips where there is no way to mount one."""
    mount = f"mount -t tmpfs -o size=1m,mode=777 tmpfs {folder}"
    enter = ["unshare", "-m"] if case.startswith("foreign") else ["unshare", "-rm"]
    if subprocess.run([*enter, "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("no mount namespaces here")
    run = f'{mount} && exec "{sys.executable}" -W error -c "$STORY" {folder} {case}'
    environment = {"STORY": STORY, "PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
    done = subprocess.run([*enter, "sh", "-c", run], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("case", "attempt", "advice"),
    [
        ("full", r"test_outcomes\[round-001\]: expected to write 20 rows at {folder}", "free some space"),
        ("full-empty", r"test_outcomes\[round-001\]: expected to write 0 rows at {folder}", "free some space"),
        ("full-first", r"validation_outcomes\[round-001\]: expected to write 20 rows at {folder}", "free some space"),
        ("read-only", r"test_outcomes\[round-001\]: expected to write 20 rows at {folder}", "make the folder writable"),
        ("read-only-first", r"validation_outcomes\[round-001\]: expected to write", "make the folder writable"),
        ("foreign", r"test_outcomes\[round-001\]: expected to write 20 rows at {folder}", "make the folder writable"),
        ("too-large", r"test_outcomes\[round-001\]: expected to write 2000 rows at {folder}", "free some space"),
    ],
)
def test_a_disk_that_refuses_is_told_with_what_to_do_and_the_old_round_stays(
    tmp_path: Path, case: str, attempt: str, advice: str
) -> None:
    if case == "foreign":
        for folder in tmp_path.parents:
            if folder.name.startswith(("pytest-", "popen-")):
                folder.chmod(0o755)
    text = told(tmp_path, case)
    assert text.startswith("WarehouseError " + attempt.replace("\\", "").format(folder=tmp_path)), text
    assert advice in text
    assert ".rs:" not in text
    assert text.count("\n") == 1
