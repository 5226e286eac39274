"""Toy sessions and policies for the trainer's tests; module-level, so that workers can import the factories."""

from dataclasses import dataclass

import numpy as np

from schemas.errors import TrainerError
from trainer.config import PolicyConfig
from trainer.engine import PlayedEpisode
from trainer.grpo import ScoredEpisode
from trainer.rows import TokenRow

END, ASK, SHOW = 1, 2, 3
FIRST_SYMBOL, N_SYMBOLS = 8, 8
VOCAB_SIZE = 24


def tiny_policy(**changes: object) -> PolicyConfig:
    """A policy of some ten thousand parameters."""
    sizes: dict[str, object] = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 64,
        "head_dim": 16,
        "mlp_size": 64,
        "n_layers": 2,
        "n_heads": 4,
        "n_kv_heads": 2,
        "max_positions": 128,
    }
    return PolicyConfig.model_validate(sizes | changes)


@dataclass(frozen=True)
class ToyScore:
    """What a toy session says about its episode."""

    reward: float
    success: bool
    repeats: int
    played: PlayedEpisode


def toy_view(score: ToyScore) -> ScoredEpisode:
    """The training view of a toy score."""
    played = score.played
    return ScoredEpisode(
        score.reward, score.success, score.repeats, played.token_ids, played.assistant_mask, played.logprobs
    )


class CopySession:
    """Shows one symbol; the policy succeeds by naming it."""

    def __init__(self, symbol: int) -> None:
        """Keep the symbol."""
        self.symbol, self.said = symbol, list[int]()

    def start(self) -> list[int]:
        """Show it."""
        return [SHOW, self.symbol, ASK]

    def reply(self, sampled: list[int]) -> list[int] | None:
        """One message, then over."""
        self.said = list(sampled)
        return None

    def finish(self, played: PlayedEpisode) -> ToyScore:
        """Success when the first word is the symbol."""
        success = self.said[:1] == [self.symbol]
        return ToyScore(float(success), success, 0, played)


class TalkSession:
    """Several turns with answers of various lengths, drawn from the spec."""

    def __init__(self, spec: int) -> None:
        """Draw the talk."""
        rng = np.random.default_rng(spec)
        self.opening = rng.integers(4, VOCAB_SIZE, 3 + spec % 5).tolist()
        self.answers = [rng.integers(4, VOCAB_SIZE, int(n)).tolist() for n in rng.integers(1, 9, 1 + spec % 4)]

    def start(self) -> list[int]:
        """The opening."""
        return self.opening

    def reply(self, sampled: list[int]) -> list[int] | None:
        """The next answer, None when there is none left."""
        return self.answers.pop(0) if self.answers else None

    def finish(self, played: PlayedEpisode) -> PlayedEpisode:
        """The tokens themselves."""
        return played


class EndlessSession(TalkSession):
    """Never ends by itself."""

    def reply(self, sampled: list[int]) -> list[int] | None:
        """Always something to say."""
        return [5, 6, 7]


class BrokenSession(TalkSession):
    """Fails in the middle."""

    def reply(self, sampled: list[int]) -> list[int] | None:
        """Raise one of our errors."""
        raise TrainerError("toy[broken]: expected an answer, got none; fix the toy")


def copy_rows(n: int, seed: int) -> list[TokenRow]:
    """Episodes of CopySession as a perfect policy would play them."""
    symbols = np.random.default_rng(seed).integers(FIRST_SYMBOL, FIRST_SYMBOL + N_SYMBOLS, n)
    mask = np.array([False, False, False, True, True])
    return [TokenRow(np.array([SHOW, symbol, ASK, symbol, END], np.int32), mask) for symbol in symbols]
