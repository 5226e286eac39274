"""One folder is one domain: nothing else has to be edited to add one."""

import shutil
import subprocess
import sys
from pathlib import Path

import env_sim
import schemas
from env_sim.domains import domain_names, folders_with

ASK = """
from env_sim.domains import domain_names, load_domain
from env_sim.task_kits import load_task_kit
print(*domain_names(), load_domain("bakery"), load_task_kit("bakery"))
"""


def test_a_folder_with_a_domain_and_a_kit_is_all_that_a_new_domain_needs(tmp_path: Path):
    for room in (env_sim, schemas):
        folder = Path(str(room.__file__)).parent
        shutil.copytree(folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__"))
    bakery = tmp_path / "env_sim/domains/bakery"
    bakery.mkdir()
    (bakery / "domain.py").write_text("BAKERY = 'a world'\n")
    (bakery / "__init__.py").write_text("from env_sim.domains.bakery.domain import BAKERY as DOMAIN\n")
    (bakery / "kit.py").write_text("KIT = 'its tasks'\n")
    asked = subprocess.run([sys.executable, "-c", ASK], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert asked.stdout.split("\n")[0] == "airline bakery retail a world its tasks"


def test_only_a_folder_that_holds_the_file_counts():
    assert domain_names() == folders_with("kit.py") == ("airline", "retail")
    assert folders_with("no such file") == ()


def test_no_shared_module_names_a_domain():
    """But defaults of command lines and profiles, examples in docstrings, and a note about an old table."""
    allowed = {"pattern_proof.py", "pattern_table.py", "soundness.py", "planted.py", "judge_measure.py", "profile.py"}
    allowed |= {"records.py", "migrations.py", "gate.py"}
    root = Path(str(env_sim.__file__)).parents[1]
    rooms = ("env_sim", "env_sim/chat", "quality", "trainer", "assets", "schemas", "jobs")
    named = {
        path.name
        for room in rooms
        for path in (root / room).glob("*.py")
        if "retail" in path.read_text(encoding="utf-8").replace("RetailTools", "").lower()
        or "airline" in path.read_text(encoding="utf-8").lower()
    }
    assert named <= allowed
