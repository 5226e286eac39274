"""The policy's tokenizer: whole words where they matter, byte-level BPE for the rest.

Text is a sequence of whitespace-separated words; runs of whitespace are not kept. Special tokens are found anywhere in
the text (one that a user could type must be removed by the renderer, or encoded with `allow_special=False`). Given
words (handles such as `o1`, tool and key names) are one token each when they stand alone. `encode` caches per word and
gives the ids that transformers' `AutoTokenizer` gives for the same folder.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from schemas.errors import CheckpointError, TrainerError

PAD = "<pad>"
"""Id 0. Never part of a row; the copy warm-up uses it as separator."""
SPACE = re.compile("[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")
"""What `WhitespaceSplit` splits at (Unicode White_Space); Python's str.split also takes the separators 1c to 1f."""
WORD_MARK = "\u0120"
"""Byte-level name of the space that every word carries in front."""
N_BYTES = 256


class PolicyTokenizer:
    """Text to ids and back."""

    def __init__(self, backend: Tokenizer) -> None:
        """Wrap a `tokenizers` tokenizer as `train_tokenizer` builds it."""
        self.backend = backend
        layout = json.loads(backend.to_str())
        self.special: dict[str, int] = {token["content"]: token["id"] for token in layout["added_tokens"]}
        merged = {"".join(merge) for merge in layout["model"]["merges"]}
        vocabulary: dict[str, int] = layout["model"]["vocab"]
        words = [i for piece, i in vocabulary.items() if len(piece) > 1 and piece not in merged | self.special.keys()]
        self.word_ids = np.array(sorted(words), np.int64)
        """Ids of the given words."""
        special_ids = set(self.special.values())
        self.plain_ids = np.array([i for i in range(len(self)) if i not in special_ids], np.int64)
        """Ids of all tokens that are not special."""
        longest_first = sorted(self.special, key=lambda token: (-len(token), token))
        self._special_pattern = re.compile("(" + "|".join(map(re.escape, longest_first)) + ")")
        self._special_names = {i: token for token, i in self.special.items()}
        self._pieces = {i: piece for piece, i in vocabulary.items()}
        self._words: dict[str, list[int]] = {}

    def __len__(self) -> int:
        """Number of ids."""
        return self.backend.get_vocab_size()

    @property
    def pad_id(self) -> int:
        """Id of the padding token."""
        return self.special[PAD]

    def id_of(self, token: str) -> int:
        """The id of a special token or a given word.

        Raises:
            TrainerError: when the text is not one token.
        """
        ids = self.encode(token)
        if len(ids) != 1:
            raise TrainerError(
                f"tokenizer[{token!r}]: expected one token, got {len(ids)}; train with it as special or word"
            )
        return ids[0]

    def encode(self, text: str, *, allow_special: bool = True) -> list[int]:
        """Ids of the text's words; with allow_special=False special tokens in it are spelled out as ordinary text."""
        if not allow_special or not self._special_pattern.search(text):
            return self._encode_plain(text)
        ids: list[int] = []
        for i, segment in enumerate(self._special_pattern.split(text)):
            if i % 2:
                ids.append(self.special[segment])
            else:
                ids.extend(self._encode_plain(segment))
        return ids

    def _encode_plain(self, text: str) -> list[int]:
        ids: list[int] = []
        known = self._words
        for word in SPACE.split(text):
            if word:
                ids.extend(known[word] if word in known else self._learn(word))
        return ids

    def _learn(self, word: str) -> list[int]:
        pieces = self.backend.pre_tokenizer.pre_tokenize_str(word)
        ids = [token.id for piece, _ in pieces for token in self.backend.model.tokenize(piece)]
        self._words[word] = ids
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The words of the ids, separated by single spaces; special tokens are words of their own."""
        words: list[str] = []
        pieces: list[str] = []
        for i in (*ids, None):
            special = None if i is None else self._special_names.get(int(i))
            if i is not None and special is None:
                pieces.append(self._pieces[int(i)])
                continue
            if pieces:
                words.append(self.backend.decoder.decode(pieces).strip(" "))
                pieces = []
            if special is not None:
                words.append(special)
        return " ".join(words)

    def save(self, folder: Path) -> None:
        """Write the files that `AutoTokenizer.from_pretrained(folder)` and `load` read."""
        from transformers import PreTrainedTokenizerFast  # 5 s to import: only where it is needed

        others = [token for token in self.special if token != PAD]
        fast = PreTrainedTokenizerFast(
            tokenizer_object=self.backend,
            pad_token=PAD,
            additional_special_tokens=others,
            clean_up_tokenization_spaces=False,
        )
        fast.save_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> "PolicyTokenizer":
        """Read a folder that `save` wrote.

        Raises:
            CheckpointError: when the file is missing.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise CheckpointError(f"tokenizer[{folder}]: expected tokenizer.json, got none; copy the whole checkpoint")
        return cls(Tokenizer.from_file(str(path)))


def train_tokenizer(
    texts: Iterable[str], special: Sequence[str], words: Sequence[str], vocab_size: int
) -> PolicyTokenizer:
    """Learn merges from texts, deterministically.

    Args:
        texts: Training text; special tokens and given words in it are left out of the merge counts.
        special: Control tokens, without `<pad>`, which is always there.
        words: Words that are to be one token.
        vocab_size: Upper bound of the ids, including specials, 256 bytes and words.

    Raises:
        TrainerError: on doubled or blank tokens, or a vocab_size without room for them.
    """
    wholes = [PAD, *special, *words]
    least = N_BYTES + len(wholes)
    if len(set(wholes)) != len(wholes) or any(not w or SPACE.search(w) for w in wholes) or vocab_size < least:
        raise TrainerError(
            f"tokenizer: expected distinct words without spaces and vocab_size >= {least}, got {len(set(wholes))} "
            f"distinct of {len(wholes)} and vocab_size {vocab_size}; fix the word list or raise vocab_size"
        )
    pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)]
    )
    draft = Tokenizer(models.BPE())
    draft.pre_tokenizer = pre_tokenizer  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(words),
        special_tokens=[PAD, *special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    draft.train_from_iterator(_ordinary_words(texts, special, set(words)), trainer)
    learned = json.loads(draft.to_str())["model"]
    vocabulary: dict[str, int] = learned["vocab"]
    for word in words:
        piece = "".join(piece for piece, _ in pre_tokenizer.pre_tokenize_str(word))
        vocabulary.setdefault(piece, len(vocabulary))
    merges = [tuple(merge) for merge in learned["merges"]]
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizer  # type: ignore[assignment]
    backend.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (PAD, *special)])
    return PolicyTokenizer(backend)


def _ordinary_words(texts: Iterable[str], special: Sequence[str], words: set[str]) -> Iterable[str]:
    """The texts without special tokens and given words, one string per text."""
    pattern = re.compile("|".join(map(re.escape, (PAD, *special))))
    for text in texts:
        yield " ".join(word for word in SPACE.split(pattern.sub(" ", text)) if word and word not in words)
