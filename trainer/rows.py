"""Token rows, and how they are cut into batches. No torch.

A row is never re-tokenized: it carries the ids that were seen and sampled, and the mask of what the policy wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schemas.errors import TrainerError

BUCKET_STEPS = 16
"""Rows of this many steps are sorted by length together: padding falls to 2-3 %, order stays random."""


@dataclass(frozen=True)
class TokenRow:
    """One episode as tokens."""

    token_ids: np.ndarray
    """int32 [T]."""
    assistant_mask: np.ndarray
    """bool [T], True where the policy wrote the token."""

    def __post_init__(self) -> None:
        """Refuse a mask of another length: the loss would sit on the wrong tokens."""
        if self.token_ids.shape != self.assistant_mask.shape or self.token_ids.ndim != 1:
            raise TrainerError(
                f"token row: expected ids and mask of one length, got {self.token_ids.shape} and "
                f"{self.assistant_mask.shape}; build both in the renderer"
            )


def pad_rows(rows: Sequence[TokenRow]) -> tuple[np.ndarray, np.ndarray]:
    """Right-pad rows with id 0; returns ids int64 [B, T] and mask bool [B, T] (False on padding)."""
    width = max(len(row.token_ids) for row in rows)
    ids_BT = np.zeros((len(rows), width), np.int64)
    mask_BT = np.zeros((len(rows), width), bool)
    for i, row in enumerate(rows):
        ids_BT[i, : len(row.token_ids)] = row.token_ids
        mask_BT[i, : len(row.token_ids)] = row.assistant_mask
    return ids_BT, mask_BT


def micro_batches(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices grouped by length so that (rows x longest) stays within max_tokens; a longer row goes alone."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= max_tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def plan_steps(
    lengths: Sequence[int], tokens_per_step: int, n_processes: int, n_steps: int, seed: int
) -> list[list[list[int]]]:
    """Row indices of every step and process, epoch after epoch, deterministic in all arguments.

    Within a window of `BUCKET_STEPS` steps rows are sorted by length and cut into batches of about
    tokens_per_step / n_processes padded tokens; the batches are then shuffled.
    """
    if not lengths:
        raise TrainerError("sft rows: expected at least one row, got none; check the table that feeds training")
    per_process = max(1, tokens_per_step // n_processes)
    rng = np.random.default_rng([seed, 1])
    mean_length = max(1.0, float(np.mean(lengths)))
    window = max(1, int(BUCKET_STEPS * tokens_per_step / mean_length))
    batches: list[list[int]] = []
    while len(batches) < n_steps * n_processes:
        order = rng.permutation(len(lengths))
        for start in range(0, len(order), window):
            chunk = order[start : start + window].tolist()
            found = micro_batches([lengths[i] for i in chunk], per_process)
            batches.extend([chunk[i] for i in found[j]] for j in rng.permutation(len(found)))
    return [batches[s * n_processes : (s + 1) * n_processes] for s in range(n_steps)]
