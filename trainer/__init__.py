"""Learning from trajectories: a tiny stock Qwen3 policy, supervised fine-tuning, batched rollouts and GRPO.

The room knows tokens, masks and rewards; it does not know tasks, tools, tables or Dagster. Importing `trainer`,
`trainer.config`, `trainer.rows` and `trainer.advantages` does not load torch; every other module here may.
"""

from trainer.advantages import GroupAdvantages, group_advantages
from trainer.config import GrpoConfig, PolicyConfig, SamplingConfig, SftConfig, WarmupConfig
from trainer.rows import TokenRow

__all__ = [
    "GroupAdvantages",
    "GrpoConfig",
    "PolicyConfig",
    "SamplingConfig",
    "SftConfig",
    "TokenRow",
    "WarmupConfig",
    "group_advantages",
]
