"""Random copy tasks that settle the induction heads before the policy sees its first dialogue. No torch."""

import numpy as np

from trainer.config import WarmupConfig
from trainer.rows import TokenRow

RECORD_TOKENS = 3
"""A key and two values."""


def copy_rows(
    config: WarmupConfig, symbol_ids: np.ndarray, separator_id: int, n_tokens: int, rng: np.random.Generator
) -> list[TokenRow]:
    """Sequences `[key a b] ... separator, then every record again in another order`; about n_tokens in all.

    The mask marks a and b of the second half: what can only be known by copying. One call draws one record count, so
    that its rows are equally long.
    """
    most = max(2, min(config.max_records, len(symbol_ids) - 1))
    n_records = int(rng.integers(min(config.min_records, most), most + 1))
    length = 2 * RECORD_TOKENS * n_records + 1
    mask = np.zeros(length, bool)
    second_half = np.arange(RECORD_TOKENS * n_records + 1, length)
    mask[second_half] = (second_half - second_half[0]) % RECORD_TOKENS > 0
    rows = []
    for _ in range(max(1, n_tokens // length)):
        keys = rng.choice(symbol_ids, n_records, replace=False)
        values = rng.choice(symbol_ids, (n_records, RECORD_TOKENS - 1))
        records = np.concatenate([keys[:, None], values], 1)
        queries = records[rng.permutation(n_records)]
        tokens = np.concatenate([records.ravel(), [separator_id], queries.ravel()])
        rows.append(TokenRow(tokens.astype(np.int32), mask))
    return rows
