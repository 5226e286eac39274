"""Supervised fine-tuning: token rows -> weights, with a copy warm-up before it.

Data parallel over persistent processes; all take the same optimizer step from the same summed gradient, so only
gradients travel. Deterministic in (rows, configs, seed, n_processes). The loss sits on the assistant's tokens only.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from schemas import TrainStep
from schemas.errors import TrainerError
from trainer.config import PolicyConfig, SftConfig, WarmupConfig
from trainer.initialise import initial_weights
from trainer.model import masked_logits
from trainer.optimisers import MuonAdam, ParameterBlock
from trainer.rows import TokenRow, micro_batches, pad_rows, plan_steps
from trainer.tokenizer import PolicyTokenizer
from trainer.warmup import copy_rows
from trainer.workers import Worker, WorkerPool

WARMUP_RISE_STEPS = 20
N_SUMS = 3
"""Loss sum, correct tokens and tokens travel behind the gradients in the same reduction."""
MICRO_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class SftResult:
    """What training left."""

    weights: dict[str, torch.Tensor]
    """By Qwen3 parameter name, float32."""
    metrics: list[TrainStep]


@dataclass(frozen=True)
class _Job:
    """One process's order: everything, since planning is cheaper than shipping plans."""

    rows: Sequence[TokenRow]
    policy: PolicyConfig
    sft: SftConfig
    warmup: WarmupConfig
    plain_ids: np.ndarray
    word_ids: np.ndarray
    separator_id: int
    seed: int
    weights: dict[str, np.ndarray] | None
    name: str


def train_sft(
    rows: Sequence[TokenRow],
    policy_config: PolicyConfig,
    sft_config: SftConfig,
    warmup_config: WarmupConfig,
    tokenizer: PolicyTokenizer,
    seed: int,
    progress: Callable[[TrainStep], None] | None = None,
    *,
    weights: dict[str, torch.Tensor] | None = None,
    policy: str = "sft",
) -> SftResult:
    """Train a policy on rows.

    Args:
        rows: Episodes as tokens; those without any assistant token, or longer than max_positions, are refused.
        policy_config: Sizes; vocab_size must cover the tokenizer.
        sft_config: Steps and learning rate.
        warmup_config: The copy warm-up; max_steps=0 skips it.
        tokenizer: Gives the symbols of the warm-up.
        seed: Initial weights, warm-up and batch order.
        progress: Called with each step's metrics as it is done.
        weights: Start from these instead of `initial_weights(policy_config, seed)`.
        policy: Name in the metrics.

    Raises:
        TrainerError: on no rows, unusable rows, or a loss that is not finite.
    """
    _check_rows(rows, policy_config, len(tokenizer))
    start = None if weights is None else {name: value.numpy() for name, value in weights.items()}
    job = _Job(
        rows=rows,
        policy=policy_config,
        sft=sft_config,
        warmup=warmup_config,
        plain_ids=tokenizer.plain_ids,
        word_ids=tokenizer.word_ids,
        separator_id=tokenizer.pad_id,
        seed=seed,
        weights=start,
        name=policy,
    )
    metrics: list[TrainStep] = []
    size = ParameterBlock(policy_config).n_parameters + N_SUMS
    with WorkerPool(sft_config.n_processes, size) as pool:
        arrays = pool.run(_train, [job] * sft_config.n_processes, _listener(metrics, progress))[0]
    return SftResult({name: torch.from_numpy(array) for name, array in arrays.items()}, metrics)


def _listener(metrics: list[TrainStep], progress: Callable[[TrainStep], None] | None) -> Callable[[object], None]:
    """Keeps the steps that the first worker reports, and passes them on."""

    def hear(message: object) -> None:
        assert isinstance(message, TrainStep)
        metrics.append(message)
        if progress:
            progress(message)

    return hear


def _check_rows(rows: Sequence[TokenRow], config: PolicyConfig, n_vocabulary: int) -> None:
    if config.vocab_size < n_vocabulary:
        raise TrainerError(
            f"sft: expected vocab_size >= {n_vocabulary} (the tokenizer), got {config.vocab_size}; raise vocab_size"
        )
    longest = config.max_positions
    silent = [i for i, row in enumerate(rows) if not row.assistant_mask[1:].any()]
    too_long = [i for i, row in enumerate(rows) if len(row.token_ids) > longest]
    foreign = [i for i, row in enumerate(rows) if row.token_ids.max(initial=0) >= n_vocabulary]
    for what, bad in (
        ("an assistant token", silent),
        (f"at most {longest} tokens", too_long),
        (f"ids below {n_vocabulary}", foreign),
    ):
        if bad:
            raise TrainerError(
                f"sft rows: expected {what} in each row, got {len(bad)} of {len(rows)} without (first: row {bad[0]}); "
                "drop them or fix the renderer"
            )


def _train(worker: Worker, job: _Job) -> dict[str, np.ndarray]:
    """The whole training in one process; only the first returns the weights."""
    block = ParameterBlock(job.policy)
    given = job.weights
    block.load({n: torch.from_numpy(v) for n, v in given.items()} if given else initial_weights(job.policy, job.seed))
    for stage in (_warm_up(worker, job, block), _fine_tune(worker, job, block)):
        for step in stage:
            if worker.rank == 0:
                worker.send(step)
    return {name: value.numpy() for name, value in block.state().items()} if worker.rank == 0 else {}


def _warm_up(worker: Worker, job: _Job, block: ParameterBlock) -> Iterator[TrainStep]:
    """Copy tasks until they are copied right or the steps are used up."""
    config, optimiser = job.warmup, MuonAdam(block)
    for step in range(config.max_steps):
        begin = time.perf_counter()
        rng = np.random.default_rng([job.seed, 2, step, worker.rank])
        symbols = job.word_ids if step % 2 and len(job.word_ids) > 2 * config.min_records else job.plain_ids
        share = config.tokens_per_step // worker.n_processes
        rows = copy_rows(config, symbols, job.separator_id, share, rng)
        rate = config.learning_rate * min(1.0, (step + 1) / WARMUP_RISE_STEPS)
        sums = _optimise(worker, job, block, optimiser, rows, rate)
        yield _metrics(job, "warmup", step, sums, rate, time.perf_counter() - begin)
        if sums.accuracy >= config.stop_accuracy:
            return


def _fine_tune(worker: Worker, job: _Job, block: ParameterBlock) -> Iterator[TrainStep]:
    """The planned steps over the rows."""
    config, optimiser = job.sft, MuonAdam(block)
    lengths = [len(row.token_ids) for row in job.rows]
    plan = plan_steps(lengths, config.tokens_per_step, worker.n_processes, config.n_steps, job.seed)
    for step, shares in enumerate(plan):
        begin = time.perf_counter()
        rate = config.learning_rate * schedule(step, config)
        rows = [job.rows[i] for i in shares[worker.rank]]
        sums = _optimise(worker, job, block, optimiser, rows, rate)
        yield _metrics(job, "sft", step, sums, rate, time.perf_counter() - begin)


def schedule(step: int, config: SftConfig) -> float:
    """Share of the peak learning rate at a step: linear rise, plateau, linear fall to zero."""
    rise = (step + 1) / max(1, config.warmup_steps)
    fall = (config.n_steps - step) / max(1.0, config.decay_share * config.n_steps)
    return min(1.0, rise, fall)


class _Sums(NamedTuple):
    loss: float
    """Mean over assistant tokens of all processes, nats."""
    accuracy: float
    """Share of them whose most likely token was right, teacher-forced."""
    n_tokens: int


def _optimise(
    worker: Worker, job: _Job, block: ParameterBlock, optimiser: MuonAdam, rows: Sequence[TokenRow], rate: float
) -> _Sums:
    """One step: gradients of the summed loss, summed over processes, divided by all assistant tokens."""
    block.grads.zero_()
    totals = torch.zeros(N_SUMS)
    for indices in micro_batches([len(row.token_ids) for row in rows], MICRO_BATCH_TOKENS):
        ids_BT, mask_BT = (torch.from_numpy(a) for a in pad_rows([rows[i] for i in indices]))
        logits, targets = masked_logits(block.weights, job.policy, ids_BT, mask_BT)
        loss = F.cross_entropy(logits, targets, reduction="sum")
        loss.backward()
        n_correct = (logits.detach().argmax(-1) == targets).sum()
        totals += torch.tensor([float(loss.detach()), float(n_correct), float(len(targets))])
    vector = torch.cat([block.grads, totals])
    worker.reducer.sum_(vector)
    loss_sum, n_right, n_tokens = vector[-N_SUMS:].tolist()
    if not math.isfinite(loss_sum):
        raise TrainerError(f"sft: expected a finite loss, got {loss_sum}; lower learning_rate")
    torch.div(vector[:-N_SUMS], n_tokens, out=block.grads)
    block.clip_gradients(job.sft.clip_norm)
    optimiser.step(rate)
    return _Sums(loss_sum / n_tokens, n_right / n_tokens, int(n_tokens))


def _metrics(
    job: _Job, stage: Literal["warmup", "sft"], step: int, sums: _Sums, rate: float, duration_s: float
) -> TrainStep:
    return TrainStep(
        policy=job.name,
        stage=stage,
        step=step,
        loss=sums.loss,
        learning_rate=rate,
        n_tokens=sums.n_tokens,
        duration_s=duration_s,
        success_rate=sums.accuracy,
    )
