"""Rows by the hundred thousand for the bench of the warehouse, columnar and seeded.

Some real rows (tasks of every pattern, the expert's dialogues) are taken many times over and made distinct: ids are
numbers, every text gets words of its own, so that nothing compresses better than real rows would. Ids link the tables
as the loop does: a failed rollout is explained, explanations are clustered, clusters bring tasks, tasks are trained on.
"""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import env_sim
from env_sim.reward import Scorer
from env_sim.tasks import demonstrate
from schemas import Explanation, FailureCluster, PoolTask, Record, Verdict
from schemas.codec import to_arrow
from schemas.columns import ROUND_FINGERPRINT, RlRollout, table_spec
from tests.fixtures.retail import databases, tasks

N_ROUNDS = 10
CLUSTERS_PER_ROUND = 20
GROUP = 8
"""Episodes of one task in a training group."""

MESSAGE_BYTES = 5_000
"""Of a trajectory's messages, on average."""

N_SENTENCES = 4096
LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", dtype=np.uint8)

Ids = np.ndarray


def rounds() -> list[str]:
    return [f"round-{number:03d}" for number in range(1, N_ROUNDS + 1)]


def pool_rows(numbers: Ids, seed: int = 0) -> pa.Table:
    """Pool tasks with these numbers."""
    return _task_rows("task_pool", numbers, seed)


def verdict_rows(numbers: Ids, seed: int = 0) -> pa.Table:
    return _task_rows("executable_tasks", numbers, seed)


def injected_rows(numbers: Ids, seed: int = 0) -> pa.Table:
    return _task_rows("injected_tasks", numbers, seed)


def training_rows(numbers: Ids, seed: int = 0) -> pa.Table:
    """Training episodes, eight to a task, of 5 kB messages."""
    found = _dialogues("rl_rollouts", numbers, seed)
    found = _put(found, "trajectory_id", _names("traj", numbers))
    found = _put(found, "task_id", _names("task", numbers // GROUP))
    return _put(found, "group_id", _names("group", numbers // GROUP))


def rollout_rows(numbers: Ids, seed: int = 0) -> pa.Table:
    """Failed validation episodes."""
    return _put(_dialogues("validation_rollouts", numbers, seed), "trajectory_id", _names("fail", numbers))


def source_rows(numbers: Ids, seed: int = 0) -> pa.Table:
    return _put(_dialogues("source_trajectories", numbers, seed), "trajectory_id", _names("source", numbers))


def explanation_rows(numbers: Ids, seed: int = 0) -> pa.Table:
    """One explanation per failed validation episode."""
    found = _taken("judge_explanations", numbers, seed)
    found = _put(found, "explanation_id", _names("why", numbers))
    found = _put(found, "trajectory_id", _names("fail", numbers))
    return _put(found, "text", _with_words(found.column("text"), _rng(seed, 1)))


def cluster_rows(round: str, explanations: Ids) -> pa.Table:
    """The explanations of one round in equal clusters."""
    number = int(round[-3:]) - 1
    parts = np.array_split(explanations, min(CLUSTERS_PER_ROUND, len(explanations)))
    rows = [
        FailureCluster(
            cluster_id=f"cluster-{number * CLUSTERS_PER_ROUND + part:010d}",
            label="label",
            terms=("term",),
            pattern=_patterns()[part % len(_patterns())],
            size=len(members),
            share=1 / CLUSTERS_PER_ROUND,
            explanation_ids=tuple(_names("why", members).to_pylist()),
            example_texts=("example",),
            silhouette=0.5,
            stability_ari=0.5,
        )
        for part, members in enumerate(parts)
    ]
    return _bare("failure_clusters", rows)


def _task_rows(table: str, numbers: Ids, seed: int) -> pa.Table:
    found = _taken(table, numbers, seed)
    found = _put(found, "task_id", _names("task", numbers))
    found = _put(found, "cluster_id", _names("cluster", numbers % (N_ROUNDS * CLUSTERS_PER_ROUND)))
    found = _put(found, "source_trajectory_id", _names("source", numbers // GROUP))
    rng = _rng(seed, 2)
    scenario = found.column("scenario").combine_chunks()
    scenario = _replaced(scenario, "opening", lambda words: _with_words(words, rng))
    scenario = _replaced(
        scenario, "goals", lambda goals: _in_list(goals, "request", lambda each: _with_words(each, rng))
    )
    calls = found.column("reference").combine_chunks()
    calls = _in_list(calls, "arguments", lambda each: _with_number(each, rng))
    return _put(_put(found, "scenario", scenario), "reference", calls)


def _dialogues(table: str, numbers: Ids, seed: int) -> pa.Table:
    found = _taken(table, numbers, seed)
    messages = found.column("messages").combine_chunks()
    rng = _rng(seed, 3)
    longer = _in_list(messages, "content", lambda words: _with_words(words, rng, _sentence_bytes()))
    return _put(found, "messages", longer)


def _taken(table: str, numbers: Ids, seed: int) -> pa.Table:
    """Each number's row of the few real ones, in an order of its own."""
    real = _templates()[table]
    return real.take(pa.array(_rng(seed, 0).integers(0, real.num_rows, len(numbers)))).combine_chunks()


def _put(table: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    position = table.schema.get_field_index(name)
    return table.set_column(position, table.schema.field(position), values)


def _replaced(structs: pa.StructArray, name: str, change: Callable[[pa.Array], pa.Array]) -> pa.StructArray:
    """The structs with one of their fields changed."""
    kind = structs.type
    parts = [structs.field(field.name) for field in kind]
    position = kind.get_field_index(name)
    parts[position] = change(parts[position])
    return pa.StructArray.from_arrays(parts, fields=list(kind))


def _in_list(lists: pa.ListArray, name: str, change: Callable[[pa.Array], pa.Array]) -> pa.ListArray:
    """The lists of structs with one field of the structs changed."""
    return pa.ListArray.from_arrays(lists.offsets, _replaced(lists.flatten(), name, change), type=lists.type)


def _with_number(texts: pa.Array, rng: np.random.Generator) -> pa.Array:
    """Each JSON object with a field more, of a number of its own."""
    number = pc.cast(pa.array(rng.integers(0, 10**9, len(texts))), pa.string())
    tail = pc.binary_join_element_wise(',"n":', number, "}", "")
    return pc.binary_join_element_wise(pc.utf8_rtrim(texts, "}"), tail, "")


def _names(kind: str, numbers: Ids) -> pa.Array:
    digits = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), 10, "0")
    return pc.binary_join_element_wise(kind, digits, "-")


def _with_words(texts: pa.Array | pa.ChunkedArray, rng: np.random.Generator, n_bytes: int = 40) -> pa.Array:
    """Each text with two random sentences behind it: their pairs hardly repeat in a million rows."""
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    picks = [_sentences(n_bytes // 2).take(pa.array(rng.integers(0, N_SENTENCES, len(texts)))) for _ in range(2)]
    return pc.binary_join_element_wise(texts, *picks, " ")


@cache
def _sentences(n_bytes: int) -> pa.Array:
    """Sentences of random words, the same ones in every run."""
    letters = LETTERS[_rng(0, 9).integers(0, 26, (N_SENTENCES, n_bytes))]
    letters[:, 6::7] = ord(" ")
    return pa.array([row.tobytes().decode().strip() for row in letters])


@cache
def _sentence_bytes() -> int:
    """Bytes to add to each message of the real dialogues, so that they are as long as stated."""
    messages = _templates()["rl_rollouts"].column("messages").combine_chunks()
    own = pc.sum(pc.binary_length(messages.flatten().field("content"))).as_py()
    return int((MESSAGE_BYTES * len(messages) - own) / len(messages.flatten()))


@cache
def _templates() -> dict[str, pa.Table]:
    """Real rows by table."""
    some = tasks()
    scorer = Scorer(env_sim.load_domain("retail"))
    played = [demonstrate("retail", databases(), task, scorer) for task in some]
    training = [
        RlRollout(**row.model_dump(), train_step=index, group_id="g", advantage=0.5) for index, row in enumerate(played)
    ]
    why = [
        Explanation(
            explanation_id="e",
            trajectory_id="t",
            task_id=task.task_id,
            text=f"The agent failed at {task.pattern}.",
            blame="agent",
            decisive_turn=1,
            evidence_turns=(1,),
            pattern=task.pattern,
            made_by="bench/1",
        )
        for task in some
    ]
    return {
        "task_pool": _bare("task_pool", [PoolTask(task=task, added_in="round-001", weight=1.0) for task in some]),
        "injected_tasks": _bare("injected_tasks", some),
        "executable_tasks": _bare("executable_tasks", [Verdict(task=t, executable=True, reason="ok") for t in some]),
        "rl_rollouts": _bare("rl_rollouts", training),
        "validation_rollouts": _bare("validation_rollouts", played),
        "source_trajectories": _bare("source_trajectories", played),
        "judge_explanations": _bare("judge_explanations", why),
    }


@cache
def _patterns() -> list[str]:
    return sorted({task.pattern for task in tasks()})


def _bare(table: str, rows: Sequence[Record]) -> pa.Table:
    """Rows as the columnar door takes them: without the columns that the store fills."""
    return to_arrow(table_spec(table), rows, rounds()[0]).drop_columns(["round", ROUND_FINGERPRINT])


def _rng(seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, purpose])
