"""The embedded profile's trainer: records in, checkpoints and trajectories out.

The one place where tasks meet tensors. It turns dialogues into token rows, plays episodes with the engine, and wraps
SFT and GRPO so that a caller hands over rows and gets rows. torch is imported by the first call, not before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from env_sim.compact import ROLE_TOKENS, CompactRenderer
from env_sim.reward import RewardConfig
from env_sim.sessions import EpisodeSpec, SessionFactory, render_dialogue
from env_sim.task_kits import load_task_kit
from schemas import Checkpoint, DatabaseRow, PoolTask, Task, TrainStep, Trajectory
from trainer.config import GrpoConfig, PolicyConfig, SamplingConfig, SftConfig, WarmupConfig
from trainer.rows import TokenRow

if TYPE_CHECKING:
    from trainer.tokenizer import PolicyTokenizer


def dialogue_words(domain: str, trajectories: Sequence[Trajectory]) -> list[list[tuple[str, bool]]]:
    """(words, written by the policy) of every message of every trajectory, in the compact language."""
    spec = load_task_kit(domain).compact_spec
    return [render_dialogue(CompactRenderer(spec), trajectory.messages) for trajectory in trajectories]


def token_row(words: Sequence[tuple[str, bool]], tokenizer: "PolicyTokenizer") -> TokenRow:
    """One dialogue as ids and the mask of what the policy wrote."""
    ids: list[int] = []
    mask: list[bool] = []
    for text, written in words:
        piece = tokenizer.encode(text)
        ids += piece
        mask += [written] * len(piece)
    return TokenRow(np.array(ids, np.int32), np.array(mask, bool))
