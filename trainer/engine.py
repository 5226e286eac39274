"""Plays many episodes at once: continuous batching over slots with a key/value cache.

While one slot samples, another's world may have answered; answers are appended in batches, and a finished slot takes
the next session. A session's noise depends on its own seed and token position only, so neighbours and slot order
change a sample by rounding at most. A session may answer later, by a future; one that blocks holds up all. Not covered:
stop strings, beam search.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from schemas.errors import TrainerError
from trainer.cache_model import CacheModel
from trainer.config import PolicyConfig, SamplingConfig
from trainer.model import Weights
from trainer.rows import micro_batches
from trainer.workers import one_thread

WAITING_SHARE = 8
"""Answers are appended when one slot in this many waits: fewer calls against idle slots."""
KEPT_SHARE = 0.8
"""Ended slots are dropped when this share or less is left: what a drop copies costs two or three decoding steps."""
CHUNK_TOKENS = 4096
"""Tokens of one append, counted as if padded: bounds its memory."""


Answer = list[int] | None


class Session(Protocol):
    """The world's side of one episode, in tokens."""

    def start(self) -> list[int]:
        """Context ids; the policy writes next."""
        ...

    def reply(self, sampled: list[int]) -> "Answer | Future[Answer]":
        """Answer a whole message, which ends with end_id or was cut at max_message_tokens; None ends the episode."""
        ...


@dataclass(frozen=True)
class PlayedEpisode:
    """One episode, token in, token out."""

    token_ids: tuple[int, ...]
    """All that the policy saw and wrote."""
    assistant_mask: tuple[bool, ...]
    """True where the policy sampled the token."""
    logprobs: tuple[float, ...]
    """Log-probability of each sampled token at the sampling temperature (greedy: at 1), 0 elsewhere."""
    truncated: bool
    """The context was full before the session ended the episode."""


@dataclass
class _Slot:
    """An episode in flight."""

    index: int
    session: Session
    uniforms: np.ndarray
    ids: list[int]
    mask: list[bool]
    logprobs: list[float]
    n_cached: int = 0
    message: list[int] = field(default_factory=list)
    waiting: bool = True
    """Tokens beyond n_cached are to be appended before the next sample; else exactly one, the last sample."""
    later: Future[Answer] | None = None
    """The session's answer, while it is not there yet."""
    ended: bool = False
    truncated: bool = False


def play(
    weights: Weights,
    policy_config: PolicyConfig,
    sessions: Sequence[Session],
    config: SamplingConfig,
    end_id: int,
    seeds: Sequence[int],
    progress: Callable[[int], None] | None = None,
) -> list[PlayedEpisode]:
    """Play all sessions to their end; episodes in the order of the sessions.

    Args:
        weights: By Qwen3 parameter name.
        policy_config: Their sizes.
        sessions: One per episode; each is used once.
        config: Temperature, slots and caps.
        end_id: The token that closes a message.
        seeds: One per session.
        progress: Called with the number of finished episodes whenever it grows.

    Raises:
        TrainerError: on unequal numbers of sessions and seeds, or a session without any context.
    """
    if len(sessions) != len(seeds) or config.max_context_tokens > policy_config.max_positions:
        raise TrainerError(
            f"play: expected one seed per session and max_context_tokens <= {policy_config.max_positions}, got "
            f"{len(sessions)} sessions, {len(seeds)} seeds and {config.max_context_tokens}; fix the call"
        )
    with one_thread(), torch.inference_mode():
        return _Engine(weights, policy_config, config, end_id).run(sessions, seeds, progress or (lambda n: None))


class _Engine:
    """The state of one `play`."""

    def __init__(self, weights: Weights, policy: PolicyConfig, config: SamplingConfig, end_id: int) -> None:
        self.weights, self.policy, self.config, self.end_id = weights, policy, config, end_id

    def run(
        self, sessions: Sequence[Session], seeds: Sequence[int], hear: Callable[[int], None]
    ) -> list[PlayedEpisode]:
        """Play all."""
        n_slots = min(self.config.slots, len(sessions))
        self.played: list[PlayedEpisode | None] = [None] * len(sessions)
        self.model = CacheModel(self.weights, self.policy, n_slots, self.config.max_context_tokens)
        self.slots: list[_Slot | None] = [None] * n_slots
        todo = list(range(len(sessions)))[::-1]
        n_done = 0
        while True:
            for place, slot in enumerate(self.slots):
                while todo and (slot is None or slot.ended):
                    index = todo.pop()
                    slot = self._open(index, sessions[index], seeds[index])
                    self.slots[place] = slot
            if (n_now := sum(episode is not None for episode in self.played)) > n_done:
                n_done = n_now
                hear(n_done)
            if not todo and not self._compact():
                return [episode for episode in self.played if episode is not None]
            self._hear_late_answers()
            self._advance()

    def _open(self, index: int, session: Session, seed: int) -> _Slot:
        ids = list(session.start())
        if not ids:
            raise TrainerError(
                f"play[session {index}]: expected context from start(), got none; send one token at least"
            )
        uniforms = np.random.Generator(np.random.Philox(key=seed)).random(self.config.max_context_tokens)
        slot = _Slot(index, session, uniforms, ids, [False] * len(ids), [0.0] * len(ids))
        if len(ids) >= self.config.max_context_tokens:
            self._close(slot, truncated=True)
        return slot

    def _close(self, slot: _Slot, truncated: bool) -> None:
        slot.ended, slot.truncated = True, truncated
        self.played[slot.index] = PlayedEpisode(tuple(slot.ids), tuple(slot.mask), tuple(slot.logprobs), truncated)

    def _compact(self) -> bool:
        """Drop ended slots once they are a fifth of all; False when none is left."""
        live = [(place, slot) for place, slot in enumerate(self.slots) if slot is not None and not slot.ended]
        if live and len(live) <= KEPT_SHARE * len(self.slots):
            self.model.keep(torch.tensor([place for place, _ in live]), max(slot.n_cached for _, slot in live))
            self.slots = [slot for _, slot in live]
        return bool(live)

    def _hear_late_answers(self) -> None:
        """Take the answers that have come; wait for one when nothing else can be done."""
        late = [(slot, slot.later) for slot in self.slots if slot is not None and not slot.ended and slot.later]
        if late and all(slot is None or slot.ended or slot.later for slot in self.slots):
            wait([later for _, later in late], return_when=FIRST_COMPLETED)
        for slot, later in late:
            if later.done():
                slot.later = None
                self._take(slot, later.result())

    def _advance(self) -> None:
        """One forward pass: append what waits if it is worth a call, else sample one token everywhere else."""
        there = [(place, slot) for place, slot in enumerate(self.slots) if slot is not None and not slot.ended]
        live = [(place, slot) for place, slot in there if slot.later is None]
        if not live:
            return
        waiting = [(place, slot) for place, slot in live if slot.waiting]
        sampling = [(place, slot) for place, slot in live if not slot.waiting]
        if not sampling or len(waiting) * WAITING_SHARE >= len(live):
            lengths = [len(slot.ids) - slot.n_cached for _, slot in waiting]
            for group in micro_batches(lengths, CHUNK_TOKENS):
                self._append([waiting[i] for i in group])
            return
        ids, positions = torch.zeros(len(self.slots), dtype=torch.long), torch.zeros(len(self.slots), dtype=torch.long)
        # Every slot's next token goes in: one left out would have its cache overwritten at its start.
        for place, slot in there:
            ids[place], positions[place] = slot.ids[slot.n_cached], slot.n_cached
        logits = self.model.decode(ids, positions)
        places = [place for place, _ in sampling]
        for _, slot in sampling:
            slot.n_cached += 1
        self._sample([slot for _, slot in sampling], logits[places])

    def _append(self, group: list[tuple[int, _Slot]]) -> None:
        logits = self.model.append(
            [place for place, _ in group],
            [slot.ids[slot.n_cached :] for _, slot in group],
            [slot.n_cached for _, slot in group],
        )
        for _, slot in group:
            slot.n_cached, slot.waiting = len(slot.ids), False
        self._sample([slot for _, slot in group], logits)

    def _sample(self, slots: list[_Slot], logits: torch.Tensor) -> None:
        """Draw one token per slot by inverting the cumulative distribution at the slot's own number."""
        temperature = self.config.temperature
        logprobs = torch.log_softmax(logits / (temperature or 1.0), -1)
        if temperature == 0:
            chosen = logprobs.argmax(-1)
        else:
            cumulative = logprobs.exp().cumsum(-1)
            draws = torch.tensor([slot.uniforms[len(slot.ids)] for slot in slots], dtype=torch.float32)
            # Counting is 20 times quicker here than torch.searchsorted.
            chosen = (cumulative <= (draws * cumulative[:, -1])[:, None]).sum(-1)
            chosen.clamp_(max=logits.shape[1] - 1)
        found = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        for slot, token, logprob in zip(slots, chosen.tolist(), found, strict=True):
            slot.ids.append(token)
            slot.mask.append(True)
            slot.logprobs.append(logprob)
            slot.message.append(token)
            self._after_token(slot, token)

    def _after_token(self, slot: _Slot, token: int) -> None:
        if token == self.end_id or len(slot.message) >= self.config.max_message_tokens:
            answer = slot.session.reply(slot.message)
            slot.message = []
            if isinstance(answer, Future):
                slot.later = answer
            else:
                self._take(slot, answer)
        elif len(slot.ids) >= self.config.max_context_tokens:
            self._close(slot, truncated=True)

    def _take(self, slot: _Slot, answer: Answer) -> None:
        """Put a session's answer behind what it answers."""
        if answer is None:
            self._close(slot, truncated=False)
            return
        room = self.config.max_context_tokens - len(slot.ids)
        kept = answer[:room]
        slot.ids.extend(kept)
        slot.mask.extend([False] * len(kept))
        slot.logprobs.extend([0.0] * len(kept))
        slot.waiting = True
        if len(answer) >= room:
            self._close(slot, truncated=True)
