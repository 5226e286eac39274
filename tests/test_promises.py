"""The page of promises names tests; each of them exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "PROMISES.md"


def test_every_test_on_the_page_of_promises_exists():
    named = re.findall(r"`((?:quality/)?test_\w+\.py)::(test_\w+)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 60
    for file, name in named:
        path = TESTS / (file if "/" in file else f"env_sim/{file}")
        assert f"def {name}(" in path.read_text(encoding="utf-8"), f"{file}::{name}"
