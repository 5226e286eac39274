from functools import cache
from pathlib import Path
from random import Random

import pytest

from env_sim import load_domain
from env_sim.compact import CompactRenderer
from env_sim.domains.retail.catalog import PRODUCT_TYPES
from env_sim.domains.retail.lexicon import KINDS, OTHER_WORDS, TOLD_REASONS, value_of
from env_sim.domains.retail.patterns import PATTERNS, pairs, parts_of, why_not
from env_sim.domains.retail.write_tools import CANCEL_REASONS
from env_sim.monitor import monitor
from env_sim.pattern_proof import Occasions
from env_sim.pattern_table import MOST_SOLVED
from env_sim.reward import Scorer
from env_sim.task_kits import load_task_kit
from env_sim.tasks import demonstrate, make_tasks, standard_mix
from schemas import ConfigError, Intent, Task
from tests.fixtures.retail import database_row, databases

DOMAIN = load_domain("retail")
KIT = load_task_kit("retail")
PAGE = Path(__file__).parents[2] / "docs" / "PATTERNS.md"


@cache
def occasions() -> Occasions:
    return Occasions("retail", databases(), 3200, 5)


@cache
def written(pattern: str) -> list[Task]:
    return [pair.hard for pair in occasions().pairs(pattern, 1)[0]]


@pytest.mark.parametrize("pattern", [pattern.name for pattern in PATTERNS])
def test_a_pattern_is_solvable_sound_and_hard_for_a_naive_agent_until_it_is_taken_out(pattern):
    proof = occasions().prove(pattern, 8)
    assert proof.n_tasks >= 5
    assert (proof.sound, proof.expert, proof.idle) == (1, 1, 0)
    assert proof.eased >= 0.9
    # Of 8 tasks one may be easy: a product with one other variant for sale.
    assert proof.naive == 1 if pattern == "none" else proof.naive <= 1 / 8


def test_two_patterns_in_one_task_are_solvable_sound_and_hard_as_well():
    proofs = [occasions().prove(pair, 1) for pair in pairs()]
    found = [proof for proof in proofs if proof.n_tasks]
    assert len(found) > 0.85 * len(proofs)
    weak = [p for p in found if (p.sound, p.expert, p.idle, p.eased) != (1, 1, 0, 1) or p.naive > MOST_SOLVED]
    assert weak == []


def test_every_composition_is_demonstrated_without_a_breach_and_survives_the_compact_language():
    scorer = Scorer(DOMAIN)
    for task in [task for pattern in [*KIT.pattern_names(), *pairs()] for task in written(pattern)]:
        trajectory = demonstrate("retail", databases(), task, scorer)
        assert (trajectory.user_fault, trajectory.reward.action_checks, trajectory.reward.repeats) == (None, 1, 0)
        assert monitor(trajectory.messages, DOMAIN.rules) == []
        renderer, reader = CompactRenderer(KIT.compact_spec), CompactRenderer(KIT.compact_spec)
        for message in trajectory.messages:
            words = renderer.render(message)
            if message.role != "assistant":
                assert reader.render(message) == words
                continue
            parsed = reader.parse(words.removesuffix(" <e>"))
            assert parsed is not None and parsed.content == message.content, task.pattern
            assert [(c.name, c.arguments) for c in parsed.tool_calls] == [
                (c.name, c.arguments) for c in message.tool_calls
            ]


def test_no_operator_touches_what_is_wanted():
    sources = {source.trajectory_id: source for source in occasions().sources}
    for task in [task for pattern in [*KIT.pattern_names(), *pairs()] for task in written(pattern)]:
        assert task.criteria.writes == sources[task.source_trajectory_id].writes


def test_three_patterns_fit_into_one_task():
    name = "wrong_order+stale_intent+not_confirmed"
    assert why_not(name) == "" and why_not("hint_late+stale_intent+not_confirmed") == ""
    for pattern in (name, "hint_late+stale_intent+not_confirmed"):
        for task in [pair.hard for pair in occasions().pairs(pattern, 3)[0]]:
            goal = task.scenario.goals[0]
            assert goal.change and goal.hesitation and task.intent is Intent.CHANGING
            assert demonstrate("retail", databases(), task, Scorer(DOMAIN)).succeeded


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("wrong_order+order_not_asked", "both put the item|both put the order"),
        ("wrong_variant+wrong_address", "no kind of wish in common"),
        ("none+wrong_order", "stands alone"),
        ("ended_early+mixed_orders", "both put the wishes"),
        ("wrong_order+wrong_variant+stale_intent", "wrong_variant and stale_intent both put the variant"),
    ],
)
def test_patterns_that_do_not_go_together_say_why_and_are_never_written(name, why):
    assert any(part in why_not(name) for part in why.split("|"))
    source = occasions().sources[0]
    base = DOMAIN.open_database(databases()[source.database_id])
    assert all(KIT.write_task(source, base, name, Random(n)) is None for n in range(5))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong_order+nope", "unknown pattern 'nope'"),
        ("stale_intent+wrong_order", r"write wrong_order\+stale_intent"),
        ("wrong_order+wrong_order", "write wrong_order"),
    ],
)
def test_a_name_that_is_none_is_refused_with_what_to_write(name, said):
    with pytest.raises(ConfigError, match=said):
        parts_of(name)


def test_another_word_for_an_option_means_one_value_only():
    values = {value for product in PRODUCT_TYPES for _, values in product.options for value in values}
    assert set(OTHER_WORDS) <= values and not set(OTHER_WORDS.values()) & values
    assert len(set(OTHER_WORDS.values())) == len(OTHER_WORDS)
    assert all(value_of(word) == value for value, word in OTHER_WORDS.items()) and value_of("velvet") == "velvet"


def test_kinds_are_of_products_and_told_reasons_of_reasons():
    assert {name for names in KINDS.values() for name in names} <= {product.name for product in PRODUCT_TYPES}
    assert set(TOLD_REASONS) == CANCEL_REASONS


def test_a_reason_is_told_without_the_word_by_which_it_is_named():
    said = " ".join(text for texts in TOLD_REASONS.values() for text in texts)
    assert "need" not in said and "mistake" not in said


def test_the_patterns_of_a_mix_can_be_chosen():
    mix = standard_mix("retail", 0.5, ["hint_late", "wrong_order+not_confirmed"])
    assert mix == {"none": 0.5, "hint_late": 0.25, "wrong_order+not_confirmed": 0.25}
    made = make_tasks("retail", [database_row()], mix, 8, 1)
    assert sorted({task.pattern for task in made}) == sorted(mix)


def test_the_page_of_patterns_tells_of_every_pattern_and_pair():
    page = PAGE.read_text(encoding="utf-8")
    for pattern in PATTERNS:
        assert f"| {pattern.name} |" in page
        assert f"- Fails: {pattern.description}.\n- Needs: {pattern.needs}.\n- Edit: {pattern.edit}." in page
    assert [pair for pair in pairs() if f"| {pair} |" not in page] == []
