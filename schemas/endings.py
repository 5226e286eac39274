"""Why episodes end, and what a user simulator can do wrong: the words that rows of episodes use."""

from enum import StrEnum

__all__ = ["StopReason", "UserFaultKind"]


class StopReason(StrEnum):
    """Why an episode ended."""

    USER_DONE = "user_done"
    USER_LEFT = "user_left"
    """Patience ran out."""
    TRANSFER = "transfer"
    MAX_TURNS = "max_turns"
    CONTEXT_FULL = "context_full"
    MALFORMED = "malformed"
    """The policy's output is neither a message nor a tool call."""
    USER_FAULT = "user_fault"
    """The user simulator broke its scenario and would not mend it; leaves every rate with `user_fault`."""
    INFRASTRUCTURE = "infrastructure"
    """Not the policy's fault; leaves every rate."""


class UserFaultKind(StrEnum):
    """What a user simulator can do wrong by its scenario."""

    LEFT_EARLY = "left_early"
    """It left satisfied before the write that it asked for, or in anger before its patience could be spent."""
    REVEALED = "revealed"
    """It told a fact that nobody had asked for, a remark before its point, or an id that it can't know."""
    CONFIRMED_WRONG = "confirmed_wrong"
    """It said yes to an action that is not the wished one, as far as its scenario lets it judge."""
    CONTRADICTED = "contradicted"
    """It said no to the right action, yes where its scenario has other words, or that it is somebody else."""
    SPOKE_AS_ASSISTANT = "spoke_as_assistant"
    """It listed an action, called a tool or offered its help."""
    EMPTY = "empty"
    """It said nothing."""
    UNREADABLE = "unreadable"
    """A model's reply did not fit the schema, however often it was shown why; the message holds what it said."""
