"""Every error that Faultline raises on purpose, as one tree.

    FaultlineError
     ├ ConfigError(ValueError)             unknown or invalid profile, key, domain, pattern
     ├ WarehouseError                      store boundary
     │  ├ UnknownTableError(KeyError)      no such table in the declared columns
     │  ├ UnknownRoundError(KeyError)      the table holds no such round
     │  ├ UngatedRoundError                a gate failed, or none ran, on what the round holds now
     │  ├ ConcurrentWriteError             another writer replaced the same round first
     │  └ CorruptTableError                a data or manifest file is damaged
     ├ ChatError                           model boundary
     │  ├ EndpointUnavailableError         no reply through all retries, or a late one: run again later
     │  ├ EndpointRefusedError             refused for good: correct key, model or request
     │  └ ContextOverflowError             the prompt is longer than the context window
     ├ WorldError                          environment boundary
     │  ├ CorruptDatabaseError(ValueError)
     │  └ UnknownDomainError(KeyError)
     ├ TaskError(ValueError)               a task that can't be built or does not replay
     ├ TrainerError                        trainer boundary
     │  ├ ZeroVarianceError                no group with a spread in reward is left
     │  └ CheckpointError(ValueError)      a folder that is no checkpoint, or not the expected one
     ├ MetricError(ValueError)             a rate that can't be computed from these counts
     └ QualityError
        └ GateError                        a gate can't be evaluated (not: a gate that says no)

ConcurrentWriteError and EndpointUnavailableError are TransientErrors: the same attempt may succeed later. Every other
error is permanent, and no retry changes it.

Each is built from one message, `what[id]: expected ..., got ...; do ...`, and survives pickling. A failed
episode is not an error but a row with its stop reason.
"""

__all__ = [
    "ChatError",
    "CheckpointError",
    "ConcurrentWriteError",
    "ConfigError",
    "ContextOverflowError",
    "CorruptDatabaseError",
    "CorruptTableError",
    "EndpointRefusedError",
    "EndpointUnavailableError",
    "FaultlineError",
    "GateError",
    "MetricError",
    "QualityError",
    "TaskError",
    "TrainerError",
    "TransientError",
    "UngatedRoundError",
    "UnknownDomainError",
    "UnknownRoundError",
    "UnknownTableError",
    "WarehouseError",
    "WorldError",
    "ZeroVarianceError",
]


class FaultlineError(Exception):
    """Base of all errors of this project."""

    def __init__(self, message: str) -> None:
        """Keep the one message, so that pickling rebuilds the error from it."""
        super().__init__(message)
        self.message = message

    def __str__(self) -> str:
        """The message itself: KeyError would show its repr, quotes included."""
        return self.message


class TransientError(FaultlineError):
    """Mixed into errors that may pass: the same attempt, a little later, can succeed."""


class ConfigError(FaultlineError, ValueError):
    """An unknown or invalid profile, key, domain or pattern."""


class WarehouseError(FaultlineError):
    """A failure at the store boundary."""


class UnknownTableError(WarehouseError, KeyError):
    """The table is not declared."""


class UnknownRoundError(WarehouseError, KeyError):
    """The table holds no rows of this round."""


class UngatedRoundError(WarehouseError):
    """A gate failed, or none ran, on the content that the round holds now."""


class ConcurrentWriteError(WarehouseError, TransientError):
    """Another writer replaced the same round first."""


class CorruptTableError(WarehouseError):
    """A data or manifest file of the table is damaged or missing."""


class ChatError(FaultlineError):
    """A failure at the boundary to a model at an endpoint."""


class EndpointUnavailableError(ChatError, TransientError):
    """No reply through all retries, or a late one; the same call may succeed later."""


class EndpointRefusedError(ChatError):
    """The endpoint said no for good, or what answers there is no chat-completions API."""


class ContextOverflowError(ChatError):
    """The prompt is longer than the model's context window."""


class WorldError(FaultlineError):
    """A failure at the environment boundary."""


class CorruptDatabaseError(WorldError, ValueError):
    """A domain database that breaks its own references or its hash."""


class UnknownDomainError(WorldError, KeyError):
    """The domain has no folder."""


class TaskError(FaultlineError, ValueError):
    """A task that can't be built or does not replay."""


class TrainerError(FaultlineError):
    """A failure at the trainer boundary."""


class ZeroVarianceError(TrainerError):
    """No group with a spread in reward is left to learn from."""


class CheckpointError(TrainerError, ValueError):
    """A folder that is no checkpoint, or not the expected one."""


class MetricError(FaultlineError, ValueError):
    """A rate that can't be computed from these counts."""


class QualityError(FaultlineError):
    """A failure at the gate boundary."""


class GateError(QualityError):
    """A gate that can't be evaluated; a gate that says no is a GateResult."""
