"""What calls have cost so far: sums, not rows, so that a long run's memory stays flat."""

from dataclasses import dataclass

from schemas.llm_calls import LlmCall, LlmOutcome

__all__ = ["Usage"]


@dataclass
class Usage:
    """Sums over the calls of one stage."""

    n_calls: int = 0
    """Calls, answered by the endpoint or by the cache."""
    n_cached: int = 0
    """Those that the cache answered."""
    n_failed: int = 0
    """Those without a reply."""
    n_retries: int = 0
    """Attempts after the first."""
    input_tokens: int = 0
    """As the server counted them."""
    output_tokens: int = 0
    """As the server counted them."""
    cost_usd: float = 0.0
    """By the prices in the settings."""

    def add(self, call: LlmCall) -> None:
        """Count one call."""
        self.n_calls += 1
        self.n_cached += call.cached
        self.n_failed += call.outcome is not LlmOutcome.OK
        self.n_retries += call.n_retries
        self.input_tokens += call.input_tokens
        self.output_tokens += call.output_tokens
        self.cost_usd += call.cost_usd

    def shown(self, elapsed_s: float) -> dict[str, str]:
        """For a progress bar: calls, their rate and cost."""
        rate = self.n_calls / elapsed_s if elapsed_s > 0 else 0.0
        return {"calls": str(self.n_calls), "calls/s": f"{rate:.1f}", "usd": f"{self.cost_usd:.2f}"}
