"""The parts of a profile that are this room's own: how much of what is made, and who plays each role."""

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from env_sim.chat.endpoint import Endpoint
from env_sim.chat.user_role import LlmUserConfig
from env_sim.llm_configs import LlmExplorerConfig, LlmReaderConfig, LlmWriterConfig
from quality.cluster_config import ClusterConfig
from quality.judge import LlmJudgeConfig

C = TypeVar("C", bound=BaseModel)


def defaults(kind: type[C], **values: float) -> C:
    """A config with these values and the defaults of its class."""
    return kind.model_validate(values)


class Settings(BaseModel):
    """Base of a profile's own parts: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Databases(Settings):
    """Generated databases per split."""

    train: int = Field(default=24, ge=1, le=5000)
    """Databases; few get memorised, each costs 0.1 s and 8 MB to make again at 500 users."""
    validation: int = Field(default=2, ge=1, le=1000)
    """Databases of the tasks on which failures are found."""
    test: int = Field(default=4, ge=1, le=1000)
    """Databases of the tasks that are reported."""
    n_users: int = Field(default=500, ge=1, le=500)
    """Users per database; 500 as in tau2's own."""


class Tasks(Settings):
    """Tasks made before the loop."""

    sft: int = Field(default=12000, ge=1)
    """Demonstrated tasks; 700 training steps of 3600 tokens see each about once."""
    sft_plain_share: float = Field(default=0.8, ge=0, le=1)
    """Easy share of them: mostly easy paths, so that real failures remain to be found."""
    validation: int = Field(default=200, ge=1)
    """Tasks on which failures are found; 200 x trials give some hundred failures to cluster."""
    test: int = Field(default=200, ge=1)
    """Tasks behind the reported numbers; with fewer than 200 the interval of Pass^1 is wider than the lift."""
    eval_plain_share: float = Field(default=0.25, ge=0, le=1)
    """Easy share of validation and test tasks; the rest is even over their failure patterns."""
    eval_patterns: tuple[str, ...] = ()
    """Failure patterns of validation and test tasks, some of the profile's; empty: all of them. What the agent will
    meet, where that is less than what could be trained."""


class Trials(Settings):
    """Episodes per task."""

    validation: int = Field(default=4, ge=1, le=64)
    """Of the policy under test in each round."""
    test: int = Field(default=4, ge=1, le=64)
    """Of each reported policy; Pass^k needs k of them."""


class JudgeRole(Settings):
    """Who explains failures."""

    endpoint: Endpoint | None = None
    """Where a model does it; none: the embedded judge, a program."""
    asking: LlmJudgeConfig = defaults(LlmJudgeConfig)
    """How a model is asked."""


class UserRole(Settings):
    """Who plays the users of validation and test episodes."""

    endpoint: Endpoint | None = None
    """Where a model does it; none: the scripted user, a program, as in all training."""
    asking: LlmUserConfig = defaults(LlmUserConfig)
    """How a model is asked."""


class ServedPolicyRole(Settings):
    """A policy that is played at an endpoint instead of in this process."""

    endpoint: Endpoint | None = None
    """Where it is served; none: checkpoints are trained and played here."""
    speaks: Literal["chat", "tokens"] = "chat"
    """`chat`: a model that knows tools and is not trained here: it is played, diagnosed and written tasks for.
    `tokens`: a checkpoint of ours behind a server that takes token ids, under this profile's `sampling`."""
    returns_thoughts: bool = False
    """With `chat`: send the model its own earlier thoughts, as models that think between calls want it. Where the
    template keeps them all, the tokens of an episode with thoughts can be stored as one sequence."""
    plays: str = Field(default="sft", min_length=1)
    """With `tokens`: the policy that the endpoint serves (`sft`, `rl-round-001`); all others are played here."""


class ClusterRole(ClusterConfig):
    """How failures are grouped, who embeds and who names them."""

    embedder: Endpoint | None = None
    """Where a model embeds the explanations, and all that is stored for search; none: the programs, or the next key."""
    sentence_transformer: str = Field(default="", max_length=300)
    """Model of the extra `sentence-transformers` that embeds on this machine; empty: none."""
    labels: Endpoint | None = None
    """Where a model, the task writer's as a rule, names the clusters; none: their terms do."""


class ExplorerRole(Settings):
    """Who explores the training databases."""

    endpoint: Endpoint | None = None
    """Where a model does it; none: the domain's planner, a program."""
    asking: LlmExplorerConfig = defaults(LlmExplorerConfig)
    """Its budget."""


class WriterRole(Settings):
    """Who words tasks."""

    endpoint: Endpoint | None = None
    """Where a model does it; none: the domain's grammar, a program."""
    asking: LlmWriterConfig = defaults(LlmWriterConfig)
    """How a model is asked."""


class ReaderRole(Settings):
    """Who reads tasks back from their words."""

    endpoint: Endpoint | None = None
    """Where a model does it; none: the domain's planner, a program that reads the words of its own grammar only."""
    asking: LlmReaderConfig = defaults(LlmReaderConfig)
    """How a model is asked."""
