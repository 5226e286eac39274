"""Calls to a chat endpoint: rate against the ideal, own CPU per call, memory. `python -m tests.bench.bench_chat`.

`--memory 100000` is a run of its own, not part of `make bench`: so many calls with the ledger and the cache of replies
in a warehouse, resident memory after each tenth.

256 dialogues at once ask a server of its own process that answers after a fixed latency. The ideal rate is dialogues
over latency. The package's own typed call stands beside ours in the same run; both share two cores with the server.
"""

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import openai

from env_sim import load_domain
from env_sim.chat.client import ChatClient, ChatRequest
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.flow import each_done
from env_sim.chat.usage import Usage
from schemas.call_log import CallLog
from schemas.llm_calls import LlmCall
from schemas.response_cache import LanceResponseCache

N_DIALOGUES = 256
TOOLS = load_domain("retail").tool_schemas()
MESSAGES = [
    {"role": "system", "content": "x" * 2000},
    *[{"role": role, "content": "words of a dialogue " * 5} for role in ("user", "assistant") * 6],
]
Ask = Callable[[int], Awaitable[object]]


def serve(latency_s: float, folder: str) -> tuple[subprocess.Popen[bytes], str]:
    """A server process and the address at which it answers."""
    port_file = Path(folder, f"port-{latency_s}")
    process = subprocess.Popen([sys.executable, "-m", "tests.fixtures.chat_server", str(port_file), str(latency_s)])
    while not (port_file.exists() and port_file.read_text()):
        time.sleep(0.05)
    return process, f"http://127.0.0.1:{port_file.read_text()}/v1"


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


def peak_mb() -> float:
    """Largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def resident_mb() -> float:
    """Resident memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


async def remember(url: str, folder: str, n_calls: int) -> None:
    """Print memory, rate and CPU of each tenth of many calls that are stored as rows, with their replies."""
    usage = Usage()
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


def watch_memory(n_calls: int) -> None:
    """The run of `--memory`."""
    with tempfile.TemporaryDirectory() as folder:
        process, url = serve(0.05, folder)
        try:
            asyncio.run(remember(url, f"{folder}/warehouse", n_calls))
        finally:
            process.kill()
            process.wait()


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=4_000, help="calls of the long run whose memory is watched")
    parser.add_argument("--memory", type=int, metavar="CALLS", help="only this: so many calls, stored as rows")
    options = parser.parse_args(arguments)
    if options.memory:
        watch_memory(options.memory)
        return
    n_long = options.calls
    n_bytes = len(json.dumps({"messages": MESSAGES, "tools": TOOLS}))
    print(f"\n{N_DIALOGUES} dialogues at once, requests of {n_bytes:,} bytes\n")
    print("| client | latency | ideal, calls/s | calls/s | of the ideal | CPU a call |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for latency_s, n_calls in ((0.05, 1500), (1.0, 1024), (2.0, 1024)):
            process, url = serve(latency_s, folder)
            try:
                for name, run in (("ours", ours), ("openai, typed", theirs)):
                    rate, cpu_ms = asyncio.run(run(url, n_calls))
                    ideal = N_DIALOGUES / latency_s
                    print(
                        f"| {name} | {latency_s * 1e3:.0f} ms | {ideal:,.0f} | {rate:,.0f} | {rate / ideal:.0%} "
                        f"| {cpu_ms:.2f} ms |",
                        flush=True,
                    )
                if latency_s == 0.05:
                    asyncio.run(ours(url, 2_000))
                    before = peak_mb()
                    asyncio.run(ours(url, n_long))
                    grown = peak_mb() - before
            finally:
                process.kill()
                process.wait()
    print(f"\nAfter 2,000 calls {n_long:,} more took {grown:.1f} MB of memory.")


if __name__ == "__main__":
    main()
