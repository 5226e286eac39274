"""Promises of tokenizer and checkpoints: what transformers reads is what we wrote."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.errors import CheckpointError, TrainerError
from tests.trainer.toy_world import tiny_policy
from trainer.checkpoints import Manifest, load_checkpoint, save_checkpoint
from trainer.config import PolicyConfig
from trainer.initialise import initial_weights
from trainer.model import EMBEDDING, forward_hidden
from trainer.tokenizer import SPACE, PolicyTokenizer, train_tokenizer

SPECIAL = ["<c>", "<e>", "<u>"]
WORDS = ["o1", "o2", "o12", "order_id", "get_order_details"]
TEXTS = ["please return the white-small bottle of order o1 <e>", "exchange the bottle for a green-large one <e>"] * 5
SAMPLE = "<c> get_order_details order_id o1<e> x-o1 zz \u65e5\u672c white-small  bottle\u2003q \x1c o12 <pad>"


def make_tokenizer() -> PolicyTokenizer:
    return train_tokenizer(TEXTS, SPECIAL, WORDS, 400)


TOKENIZER = make_tokenizer()


def make_policy() -> PolicyConfig:
    return tiny_policy(vocab_size=len(TOKENIZER))


def save(folder: Path, seed: int = 0) -> Manifest:
    policy = make_policy()
    weights = initial_weights(policy, seed)
    return save_checkpoint(folder, weights, policy, TOKENIZER, policy="sft", kind="sft", seed=seed, n_steps=3)


def test_given_words_and_specials_are_one_token_and_parts_of_words_are_not() -> None:
    assert all(len(TOKENIZER.encode(token)) == 1 for token in (*SPECIAL, *WORDS))
    assert len(TOKENIZER.encode("o1x")) > 1 and TOKENIZER.id_of("o1") not in TOKENIZER.encode("x-o1")
    assert {TOKENIZER.id_of(word) for word in WORDS} == set(TOKENIZER.word_ids.tolist())
    with pytest.raises(TrainerError, match="expected one token"):
        TOKENIZER.id_of("o99 o98")


def test_special_tokens_can_be_kept_from_being_read_in_foreign_text() -> None:
    end = TOKENIZER.id_of("<e>")
    assert end in TOKENIZER.encode("stop <e> now")
    assert end not in TOKENIZER.encode("stop <e> now", allow_special=False)
    assert TOKENIZER.decode(TOKENIZER.encode("stop <e> now", allow_special=False)) == "stop <e> now"


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_round_trips_by_words(text: str) -> None:
    ids = TOKENIZER.encode(text, allow_special=False)
    assert TOKENIZER.decode(ids) == " ".join(word for word in SPACE.split(text) if word)


def test_training_a_tokenizer_twice_gives_the_same_one() -> None:
    assert make_tokenizer().backend.to_str() == TOKENIZER.backend.to_str()


def test_a_tokenizer_can_be_sent_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(TOKENIZER)).encode(SAMPLE) == TOKENIZER.encode(SAMPLE)


def test_doubled_words_and_a_vocabulary_without_room_are_refused() -> None:
    for special, words, size in ((["<c>"], ["o1", "o1"], 400), (["<c>"], ["o 1"], 400), (["<c>"], ["o1"], 200)):
        with pytest.raises(TrainerError, match="vocab_size"):
            train_tokenizer(TEXTS, special, words, size)


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    manifest = save(tmp_path / "sft")
    loaded = load_checkpoint(tmp_path / "sft")
    assert loaded.manifest == manifest
    assert loaded.tokenizer.encode(SAMPLE) == TOKENIZER.encode(SAMPLE)
    expected = initial_weights(make_policy(), 0)
    assert all(torch.equal(loaded.weights[name], expected[name]) for name in expected)
    assert [p.name for p in tmp_path.iterdir()] == ["sft"]


def test_the_id_depends_on_the_weights_and_not_on_the_folder(tmp_path: Path) -> None:
    one, again, other = save(tmp_path / "a"), save(tmp_path / "b"), save(tmp_path / "a", seed=1)
    assert one.checkpoint_id == again.checkpoint_id != other.checkpoint_id
    assert load_checkpoint(tmp_path / "a").manifest == other


def test_a_folder_without_manifest_or_with_another_content_is_no_checkpoint(tmp_path: Path) -> None:
    for damage in ("manifest", "weights", "torn", "tokenizer", "field"):
        folder = tmp_path / damage
        save(folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        if damage == "manifest":
            (folder / "manifest.json").unlink()
        elif damage == "weights":
            save(tmp_path / "other", seed=2)
            (tmp_path / "other" / "model.safetensors").replace(folder / "model.safetensors")
        elif damage == "torn":
            whole = (folder / "model.safetensors").read_bytes()
            (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
        elif damage == "tokenizer":
            (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + " ")
        else:
            (folder / "manifest.json").write_text(json.dumps(manifest | {"surprise": 1}))
        with pytest.raises(CheckpointError, match="checkpoint"):
            load_checkpoint(folder)


def test_weights_of_another_shape_are_not_saved(tmp_path: Path) -> None:
    weights = initial_weights(make_policy(), 0) | {EMBEDDING: torch.zeros(3, 3)}
    with pytest.raises(CheckpointError, match="embed_tokens"):
        save_checkpoint(tmp_path / "x", weights, make_policy(), TOKENIZER, policy="sft", kind="sft", seed=0, n_steps=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("default")
def test_transformers_loads_the_checkpoint_and_gives_the_same_logits_and_ids(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen3ForCausalLM

    save(tmp_path / "sft")
    loaded = load_checkpoint(tmp_path / "sft")
    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tmp_path / "sft"),
        AutoTokenizer.from_pretrained(tmp_path / "sft"),
    )
    assert isinstance(model, Qwen3ForCausalLM)
    for text in (SAMPLE, *TEXTS):
        assert tokenizer(text)["input_ids"] == loaded.tokenizer.encode(text)
    ids = torch.randint(0, len(TOKENIZER), (3, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = forward_hidden(loaded.weights, make_policy(), ids) @ loaded.weights[EMBEDDING].T
        torch.testing.assert_close(model(ids).logits, ours, atol=1e-4, rtol=1e-4)
