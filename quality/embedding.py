"""Texts of failures as vectors: what is particular to one episode is taken out, what is left is weighted words.

Holds the `Embedder` protocol and its local implementation (TF-IDF, then a truncated SVD: latent semantic analysis).
Deliberately not a neural model: the embedded profile needs no weights and no network. Other embedders
(`llm_embedding`) are a profile's choice. Its vectors of two calls are not comparable, because the vocabulary is that of
the given texts: embed what you compare together. What is stored and searched comes of a `StoredEmbedder`, whose
vectors of all calls can be compared.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import shake_256
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.derived import VECTOR_WIDTH

Vectors = NDArray[np.float64]

_PARTICULARS = re.compile(
    r"""
    "[^"]*" | “[^”]*”                    # quoted words of this dialogue
    | \S+@\S+                            # e-mail addresses
    | \#\w*\d\w*                         # order ids
    | \b[A-Za-z]+(?:_[A-Za-z]+)*_\d+\b   # user and payment ids: mei_kovacs_8020, gift_card_1234567
    | \b[a-z]\d+\b                       # reference handles: o1, i3
    | [$]?\d+(?:[.,:/-]\d+)*             # amounts, item ids, turn numbers, dates
    """,
    re.VERBOSE,
)
_KEPT_STOP_WORDS = frozenset(
    {
        "after",
        "again",
        "before",
        "cannot",
        "first",
        "last",
        "never",
        "no",
        "none",
        "not",
        "only",
        "other",
        "same",
        "though",
        "together",
        "twice",
        "two",
        "without",
    }
)
"""Stop words elsewhere, but here they are what tells one failure from the other."""


WORD = r"[a-z][a-z_-]+"
"""A word of two letters or more; tool names stay whole."""


class Embedder(Protocol):
    """Texts to vectors."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One row per text; rows need not be normalised."""
        ...


class StoredEmbedder(Protocol):
    """An embedder whose vectors are stored: of `VECTOR_WIDTH`, and of length 1 or all zero."""

    @property
    def name(self) -> str:
        """Stored beside every vector; only vectors of one name can be compared."""
        ...

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One row per text."""
        ...


def normalised(text: str) -> str:
    """The text without ids, numbers, addresses and quotations, lower-case, spaces folded."""
    return " ".join(_PARTICULARS.sub(" ", text).lower().split())


@cache
def stop_words() -> frozenset[str]:
    """English function words except those that distinguish failures."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return frozenset(ENGLISH_STOP_WORDS - _KEPT_STOP_WORDS)


def terms_of(text: str) -> list[str]:
    """Content words of a normalised text, and pairs of content words that stand side by side in it."""
    stop = stop_words()
    words = [None if word in stop else word for word in re.findall(WORD, text)]
    pairs = [f"{first} {second}" for first, second in pairwise(words) if first and second]
    return [word for word in words if word] + pairs


def unit_rows(vectors: Vectors) -> Vectors:
    """Rows scaled to length 1; a zero row stays zero and is then at distance 1 from everything."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1.0)


@dataclass(frozen=True)
class HashedEmbedder:
    """Words and pairs of words hashed into a fixed width: no vocabulary, so vectors of all calls can be compared.

    What is stored is its work unless the profile names an embedder. Sees shared words, not synonyms.
    """

    width: int = VECTOR_WIDTH
    name: str = "hashed-words/1"
    """Stored beside every vector."""

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One row per text, of length 1; zeros for a text without content words."""
        from scipy.sparse import csr_matrix
        from sklearn.feature_extraction.text import HashingVectorizer

        # scikit-learn reads the analyzer's type from its default, which is a word.
        hashing = HashingVectorizer(n_features=self.width, analyzer=terms_of)  # pyright: ignore[reportArgumentType]
        return csr_matrix(hashing.transform([normalised(text) for text in texts])).toarray().astype(np.float64)


@dataclass(frozen=True)
class FittedEmbedder:
    """Another embedder's vectors, brought to the width that is stored.

    Narrower ones get zeros, which changes no cosine. Wider ones are projected on random signs, the same for ever, which
    moves a cosine by about 0.05 (Achlioptas 2003, database-friendly random projections).
    """

    embed: Embedder
    """Whose vectors they are."""
    model: str
    """Its name."""
    width: int = VECTOR_WIDTH

    @property
    def name(self) -> str:
        """The model's name; how its vectors are fitted follows from them."""
        return self.model

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One row per text."""
        vectors = unit_rows(np.asarray(self.embed(texts), dtype=np.float64))
        missing = self.width - vectors.shape[1]
        if missing >= 0:
            return np.pad(vectors, ((0, 0), (0, missing)))
        return unit_rows(vectors @ _signs(vectors.shape[1], self.width))


@cache
def _signs(height: int, width: int) -> Vectors:
    """Random signs, shape (height, width); from a hash, because a generator's draws may change with its library."""
    drawn = shake_256(b"faultline stored vectors").digest(height * width // 8 + 1)
    bits = np.unpackbits(np.frombuffer(drawn, np.uint8))[: height * width].reshape(height, width)
    return bits.astype(np.float64) * 2 - 1


@dataclass(frozen=True)
class LocalEmbedder:
    """TF-IDF over words, reduced by a truncated SVD. Deterministic given the seed."""

    n_components: int = 64
    """Dimensions kept; fewer when there are fewer texts or words."""
    seed: int = 0

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """One row of unit length per text."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words=sorted(stop_words()), token_pattern=WORD)
        try:
            weights = vectorizer.fit_transform(texts)
        except ValueError:
            # Raised for an empty vocabulary only: texts of stop words and ids say nothing, so they get zero vectors.
            return np.zeros((len(texts), 1))
        n_components = min(self.n_components, weights.shape[0] - 1, weights.shape[1] - 1)
        if n_components < 2:
            return unit_rows(weights.toarray().astype(np.float64))
        reducer = TruncatedSVD(n_components, random_state=self.seed)
        return unit_rows(reducer.fit_transform(weights).astype(np.float64))
