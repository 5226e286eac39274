"""How models are asked as explorer, writer and reader: settings only, so that a profile loads without a client."""

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LlmExplorerConfig", "LlmReaderConfig", "LlmWriterConfig"]


class LlmExplorerConfig(BaseModel):
    """How a model explores."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_turns: int = Field(default=30, ge=2, le=200)
    """Replies per exploration; a customer with five orders and two wishes needs about fifteen."""
    max_calls: int = Field(default=30, ge=2, le=60)
    """Tool calls per exploration; they become the task's reference, of which gates allow 60."""
    n_tries: int = Field(default=3, ge=1, le=50)
    """Explorations tried per wanted one, each of another customer."""


class LlmWriterConfig(BaseModel):
    """How a model writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repairs: int = Field(default=2, ge=0, le=10)
    """How often a reply that is no task is asked again with what is wrong."""
    max_words: int = Field(default=300, ge=20, le=600)
    """All that the customer can say; gates allow 600."""
    n_examples: int = Field(default=3, ge=0, le=20)
    """Explanations of the cluster that are shown."""


class LlmReaderConfig(BaseModel):
    """How a model reads tasks back."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_calls: int = Field(default=20, ge=1, le=100)
    """Look-ups per task."""
    repairs: int = Field(default=2, ge=0, le=10)
    """How often a reply that doesn't fit is asked again with its error."""
    n_tries: int = Field(default=0, ge=0, le=16)
    """Episodes that the model plays as the agent when no program solves a task; the scripted user understands few
    words, so that a chat model seldom comes through."""
