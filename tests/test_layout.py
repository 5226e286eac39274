import importlib.util
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("room", ["assets", "env_sim", "jobs", "quality", "schemas", "trainer"])
def test_each_room_is_the_one_of_this_repository(room: str):
    spec = importlib.util.find_spec(room)
    assert spec is not None
    assert spec.origin == str(REPOSITORY / room / "__init__.py")
