"""Every knob of the trainer, frozen, bounded, with the reason for its default. No torch here.

A default is the value that was measured to work on two CPU cores; `docs/LOG.md` has the runs.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class TrainerConfig(BaseModel):
    """Base of the configs of this room: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PolicyConfig(TrainerConfig):
    """Sizes of the tiny policy, a stock Qwen3 decoder with tied embeddings and query/key/value biases."""

    vocab_size: int = Field(ge=8, le=200_000)
    """Rows of the embedding; at least the tokenizer's length."""
    hidden_size: int = Field(default=128, ge=16, le=4096)
    """Width of the residual stream; 128 learns the embedded world in minutes."""
    n_layers: int = Field(default=4, ge=1, le=64)
    """Blocks; the built copy circuit takes the first two."""
    n_heads: int = Field(default=4, ge=1, le=64)
    """Query heads."""
    n_kv_heads: int = Field(default=4, ge=1, le=64)
    """Key/value heads, a divisor of n_heads; sharing them would save cache that is not short here."""
    head_dim: int = Field(default=32, ge=8, le=256)
    """Even width of one head."""
    mlp_size: int = Field(default=384, ge=16, le=16_384)
    """Inner width of the gated MLP."""
    rope_theta: float = Field(default=1e6, ge=10, le=1e8)
    """RoPE base. High: slow pairs match content over a whole episode, the four fastest still resolve one token."""
    max_positions: int = Field(default=1024, ge=16, le=131_072)
    """Longest context in tokens."""
    initialisation: Literal["induction", "previous_token", "random"] = "induction"
    """How the first two layers start (`trainer.initialise`); `induction` copies 90 % right before any training."""

    @model_validator(mode="after")
    def _fits(self) -> "PolicyConfig":
        if self.n_heads % self.n_kv_heads or self.head_dim % 2:
            raise ValueError(
                f"policy config: expected n_kv_heads to divide n_heads and an even head_dim, got "
                f"{self.n_heads}/{self.n_kv_heads} heads of {self.head_dim}; change the sizes"
            )
        room = self.hidden_size >= 4 * self.head_dim and self.n_kv_heads >= 2 and self.n_layers >= 2
        if self.initialisation == "induction" and not (room and self.head_dim >= 16):
            raise ValueError(
                "policy config: initialisation 'induction' needs hidden_size >= 4 x head_dim, head_dim >= 16, two "
                f"key/value heads and two layers, got {self}; enlarge the policy or set initialisation='random'"
            )
        return self


class WarmupConfig(TrainerConfig):
    """Copy warm-up before SFT: random records, then queries for them; loss on the copied tokens only."""

    max_steps: int = Field(default=40, ge=0, le=5000)
    """Upper bound of optimizer steps, 0 skips the warm-up."""
    tokens_per_step: int = Field(default=3600, ge=64)
    """Tokens over all processes."""
    learning_rate: float = Field(default=3e-3, gt=0, le=1)
    """Peak; reached after 20 steps."""
    stop_accuracy: float = Field(default=0.98, gt=0, le=1)
    """Ends the warm-up when the copied tokens of one step reach this share."""
    min_records: int = Field(default=8, ge=2)
    """Fewest records in a sequence."""
    max_records: int = Field(default=40, ge=2)
    """Most records in a sequence: 40 records of three tokens are as long as an episode."""


class SftConfig(TrainerConfig):
    """Supervised fine-tuning on the assistant's tokens."""

    n_steps: int = Field(default=700, ge=1)
    """Optimizer steps."""
    tokens_per_step: int = Field(default=3600, ge=64)
    """Padded tokens over all processes; small steps and many of them learn fastest on a CPU."""
    learning_rate: float = Field(default=3e-3, gt=0, le=1)
    """Peak, for Muon (matrices) and Adam (embedding, norms, biases) alike."""
    warmup_steps: int = Field(default=30, ge=0)
    """Linear rise of the learning rate."""
    decay_share: float = Field(default=0.4, ge=0, le=1)
    """Share of the steps over which the learning rate falls linearly to zero."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Global gradient norm above which gradients are scaled down."""
    n_processes: int = Field(default=2, ge=1, le=64)
    """Data-parallel processes with one thread each; results depend on it by rounding and batch plan."""


class SamplingConfig(TrainerConfig):
    """How the engine plays episodes."""

    temperature: float = Field(default=1.0, ge=0, le=5)
    """Divides the logits; 0 is greedy."""
    slots: int = Field(default=256, ge=1, le=4096)
    """Episodes in flight per process: begun together they grow together, so a step pays for few empty positions."""
    max_message_tokens: int = Field(default=48, ge=1)
    """A message of the policy is cut here; a written turn is 10-20 tokens."""
    max_context_tokens: int = Field(default=512, ge=16)
    """An episode whose next token would pass this length ends as truncated."""


class GrpoConfig(TrainerConfig):
    """Group-relative policy optimisation. Sources: arXiv 2402.03300 (GRPO), 2503.14476 (clip-higher, token mean)."""

    n_steps: int = Field(default=25, ge=1)
    """Rollout-and-update rounds; ignored where `passes` is set."""
    passes: float | None = Field(default=None, gt=0, le=100)
    """Passes over the task pool: n_steps = passes x pool / groups_per_step, so that a growing pool gets its budget."""
    groups_per_step: int = Field(default=64, ge=1)
    """Tasks per step; 64 keep the engine's slots full, 32 wait for the longest episodes."""
    group_size: int = Field(default=8, ge=2)
    """Episodes per task."""
    updates_per_step: int = Field(default=2, ge=1)
    """Optimizer steps per rollout batch, each on its own share of the groups."""
    learning_rate: float = Field(default=8e-4, gt=0, le=1)
    """Adam, falling linearly to zero over n_steps (3e-4 lifts half as much in the same time)."""
    optimiser: Literal["adam", "muon"] = "adam"
    """`muon`: Muon on the projection matrices, Adam on the rest, as in SFT."""
    warmup_steps: int = Field(default=2, ge=0)
    """Steps over which the learning rate rises: Adam's first step has full size in every weight whatever the gradient,
    and moved the policy by 0.05 nats per token at once."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Global gradient norm above which gradients are scaled down."""
    clip_low: float = Field(default=0.2, ge=0, lt=1)
    """Ratios below 1 - clip_low give no gradient for negative advantages."""
    clip_high: float = Field(default=0.28, ge=0)
    """Ratios above 1 + clip_high give no gradient for positive advantages; wider, so that rare tokens can grow."""
    negative_advantage_scale: float = Field(default=0.25, ge=0, le=1)
    """Weight of negative advantages: at 1 pushing down long failures drowned what succeeded."""
    loss_aggregation: Literal["sequence", "token", "constant"] = "sequence"
    """`sequence`: mean over an episode's tokens, then over episodes; `token`: mean over all tokens; `constant`:
    sum over tokens / (episodes x constant_tokens)."""
    constant_tokens: int = Field(default=100, ge=1)
    """Denominator per episode for `constant`."""
    std_floor: float = Field(default=0.2, ge=0)
    """Smallest standard deviation to divide by; one success among 24 episodes has 0.2, a few penalties have 0.02."""
    normalise_by_std: bool = True
    """Divide the group-centred reward by the group's standard deviation."""
    kl_weight: float = Field(default=0.0, ge=0)
    """Weight of the k3 estimate of KL(policy || start policy); 0 leaves the reference out."""
    temperature: float = Field(default=1.0, gt=0, le=5)
    """Of the rollouts; the loss uses the same, else ratios are wrong from the first token."""
    min_groups: int = Field(default=1, ge=1)
    """A step with fewer groups with spread does not update (its rollouts are still reported)."""
    max_idle_steps: int = Field(default=3, ge=1)
    """So many steps in a row without an update end the training with ZeroVarianceError."""
    slots: int = Field(default=256, ge=1)
    """Episodes in flight per process: all of a step's at once."""
    max_message_tokens: int = Field(default=48, ge=1)
    """A message is cut here."""
    max_context_tokens: int = Field(default=420, ge=16)
    """An episode is truncated here; the longest episodes set the time of a step."""
    micro_batch_tokens: int = Field(default=4096, ge=64)
    """Padded tokens per backward pass and process."""
    n_processes: int = Field(default=2, ge=1, le=64)
    """Processes that roll out and train, one thread each."""

    def for_pool(self, n_tasks: int) -> "GrpoConfig":
        """This config with the number of steps that `passes` over a pool of n_tasks takes."""
        if self.passes is None:
            return self
        return self.model_copy(update={"n_steps": max(1, round(self.passes * n_tasks / self.groups_per_step))})

    @property
    def sampling(self) -> SamplingConfig:
        """The engine's part of this config."""
        return SamplingConfig(
            temperature=self.temperature,
            slots=self.slots,
            max_message_tokens=self.max_message_tokens,
            max_context_tokens=self.max_context_tokens,
        )
