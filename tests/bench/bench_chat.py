"""Calls to a chat endpoint: rate against the ideal, own CPU per call, memory. `python -m tests.bench.bench_chat`.

256 dialogues at once ask a server of its own process that answers after a fixed latency. The ideal rate is dialogues
over latency. `calls` are the client's alone; `episodes` are whole ones as `validation_rollouts` plays them
(environment, user, reward, stored row), the server playing the expert, measured between their first and last tenth,
when not all dialogues are there. The package's own typed call stands beside ours in the same run; all share two cores
with the server. Last, 100,000 calls that are stored as rows with their replies, and the resident memory after each
tenth.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import openai

from env_sim import load_domain
from env_sim.chat.client import ChatClient, ChatRequest
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.episodes import call_seed, episode_seed
from env_sim.chat.flow import each_done
from env_sim.chat.usage import Usage
from env_sim.reward import RewardConfig, Scorer
from env_sim.sessions import EpisodeSpec
from env_sim.tasks import demonstrate
from schemas import Checkpoint
from schemas.call_log import CallLog
from schemas.llm_calls import LlmCall
from schemas.response_cache import LanceResponseCache
from tests.fixtures.chat_server import completion, tool_call
from tests.fixtures.retail import databases, tasks
from trainer.config import SamplingConfig
from trainer.served import ServedPolicy

N_DIALOGUES = 256
TOOLS = load_domain("retail").tool_schemas()
MESSAGES = [
    {"role": "system", "content": "x" * 2000},
    *[{"role": role, "content": "words of a dialogue " * 5} for role in ("user", "assistant") * 6],
]
CHECKPOINT = Checkpoint(
    checkpoint_id="ck-1", policy="served", kind="served", path="nowhere", n_parameters=0, seed=0, n_steps=0
)
SEED, N_TRIALS = 3, 10
Ask = Callable[[int], Awaitable[object]]


def expert_replies() -> dict[str, object]:
    """What the expert says in every episode of `episodes`, by the seed of the call."""
    found: dict[str, object] = {}
    scorer = Scorer(load_domain("retail"))
    for task in tasks():
        messages = demonstrate("retail", databases(), task, scorer).messages
        for trial in range(N_TRIALS):
            seed = episode_seed(EpisodeSpec(task, CHECKPOINT.policy, CHECKPOINT.checkpoint_id, trial, SEED))
            for place, said in enumerate(messages):
                if said.role == "assistant":
                    calls = [tool_call(call.name, call.arguments, call.id) for call in said.tool_calls]
                    found[str(call_seed(seed, place))] = completion(said.content, calls or None)
    return found


def episodes(url: str) -> tuple[float, float]:
    """Calls a second and CPU milliseconds a call of whole episodes."""
    seen: list[tuple[float, float]] = []

    def note(call: LlmCall) -> None:
        seen.append((time.perf_counter(), time.process_time()))

    place = Endpoint(base_url=url, model="tiny", max_concurrent=N_DIALOGUES)
    policy = ServedPolicy("retail", place, "chat", Path("nowhere"), SamplingConfig(), RewardConfig(), record=note)
    rows = policy.rollouts(CHECKPOINT, tasks(), databases(), N_TRIALS, SEED)
    assert all(row.succeeded for row in rows), "the server is the expert"
    first, last = len(seen) // 10, len(seen) * 9 // 10
    wall, cpu = (seen[last][i] - seen[first][i] for i in range(2))
    return (last - first) / wall, cpu / (last - first) * 1e3


@contextmanager
def served(latency_s: float, folder: str) -> Iterator[str]:
    """The address of a server process, while it runs."""
    port_file, replies = Path(folder, "port"), Path(folder, "replies.json")
    port_file.unlink(missing_ok=True)
    if not replies.exists():
        replies.write_text(json.dumps(expert_replies()))
    command = [sys.executable, "-m", "tests.fixtures.chat_server", str(port_file), str(latency_s), str(replies)]
    with subprocess.Popen(command) as process:
        try:
            while not (port_file.exists() and port_file.read_text()):
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port_file.read_text()}/v1"
        finally:
            process.kill()


async def measure(ask: Ask, n_calls: int) -> tuple[float, float]:
    """Calls a second and CPU milliseconds a call, after one warm call a dialogue."""
    async for _ in each_done(range(N_DIALOGUES), ask, N_DIALOGUES):
        pass
    wall, cpu = time.perf_counter(), time.process_time()
    async for _ in each_done(range(n_calls), ask, N_DIALOGUES):
        pass
    return n_calls / (time.perf_counter() - wall), (time.process_time() - cpu) / n_calls * 1e3


async def ours(url: str, n_calls: int) -> tuple[float, float]:
    """By our client, every call with other words, recorded as a row."""
    rows: list[object] = []
    place = Endpoint(base_url=url, model="tiny", max_concurrent=N_DIALOGUES)
    async with ChatClient("policy", place, record=lambda call: rows.append(call.cost_usd)) as client:
        request = [*MESSAGES, {"role": "user", "content": ""}]

        def ask(index: int) -> Awaitable[object]:
            return client.complete(ChatRequest([*request[:-1], {"role": "user", "content": str(index)}], TOOLS))

        return await measure(ask, n_calls)


async def theirs(url: str, n_calls: int) -> tuple[float, float]:
    """By the package's typed call."""
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:

        def ask(index: int) -> Awaitable[object]:
            messages = [*MESSAGES, {"role": "user", "content": str(index)}]
            return client.chat.completions.create(model="tiny", messages=messages, tools=TOOLS)  # type: ignore[arg-type]

        return await measure(ask, n_calls)


def resident_mb() -> float:
    """Resident memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def remember(url: str, folder: str, n_calls: int) -> None:
    """Print memory, rate and CPU of each tenth of many calls that are stored as rows, with their replies."""
    usage = Usage()
    print(f"\n{n_calls:,} calls, stored with their replies\n")
    place = Endpoint(base_url=url, model="tiny", max_concurrent=N_DIALOGUES)
    print("| calls | resident, MB | calls/s | CPU a call |\n|---:|---:|---:|---:|")
    with LanceResponseCache(folder) as cache, CallLog(folder, "round-001", "validation_rollouts") as log:

        def record(call: LlmCall) -> None:
            usage.add(call)
            log.add(call)

        async with ChatClient("policy", place, cache=cache, record=record) as client:

            def ask(index: int) -> Awaitable[object]:
                return client.complete(ChatRequest([*MESSAGES, {"role": "user", "content": str(index)}], TOOLS))

            tenth = n_calls // 10
            for start in range(0, n_calls, tenth):
                wall, cpu = time.perf_counter(), time.process_time()
                async for _ in each_done(range(start, start + tenth), ask, N_DIALOGUES):
                    pass
                rate, cpu_ms = tenth / (time.perf_counter() - wall), (time.process_time() - cpu) / tenth * 1e3
                print(f"| {usage.n_calls:,} | {resident_mb():.0f} | {rate:,.0f} | {cpu_ms:.2f} ms |", flush=True)


def print_rates(latency_s: float, url: str) -> None:
    """One line for the client, one for whole episodes, one for the package."""
    n_calls = 10_000 if latency_s < 1 else 1_024
    runs: dict[str, Callable[[], tuple[float, float]]] = {
        "calls": lambda: asyncio.run(ours(url, n_calls)),
        "episodes": lambda: episodes(url),
        "calls of openai, typed": lambda: asyncio.run(theirs(url, 1_024)),
    }
    ideal = N_DIALOGUES / latency_s
    for name, run in runs.items():
        rate, cpu_ms = run()
        shown = [
            f"{latency_s * 1e3:.0f} ms",
            f"{ideal:,.0f}",
            f"{rate:,.0f}",
            f"{rate / ideal:.0%}",
            f"{cpu_ms:.2f} ms",
        ]
        print(f"| {name} | {' | '.join(shown)} |", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000, help="calls of the run whose memory is watched")
    options = parser.parse_args(arguments)
    n_bytes = len(json.dumps({"messages": MESSAGES, "tools": TOOLS}))
    print(f"\n{N_DIALOGUES} dialogues at once, requests of {n_bytes:,} bytes and, of episodes, more\n")
    print("| what | latency | ideal, calls/s | calls/s | of the ideal | CPU a call |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for latency_s in (0.05, 0.1, 0.2, 0.5):
            with served(latency_s, folder) as url:
                print_rates(latency_s, url)
        with served(0.05, folder) as url:
            asyncio.run(remember(url, f"{folder}/warehouse", options.calls))


if __name__ == "__main__":
    main()
