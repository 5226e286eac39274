"""Many calls at once: bounded, complete, resumable after a kill."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from env_sim.chat.flow import each_done, rarely_collected
from schemas.response_cache import LanceResponseCache
from tests.fixtures.chat_server import Served, completion, serving

JUDGING = """
import asyncio, sys
from env_sim.chat.client import ChatClient, ChatRequest
from env_sim.chat.endpoint import Endpoint
from env_sim.chat.flow import each_done
from schemas.response_cache import LanceResponseCache

url, root, n = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def main():
    with LanceResponseCache(root) as cache:
        async with ChatClient("judge", Endpoint(base_url=url, model="tiny", max_concurrent=16), cache=cache) as client:
            requests = (ChatRequest(messages=({"role": "user", "content": f"judge {i}"},)) for i in range(n))
            async for index, reply in each_done(requests, client.complete, 16):
                assert reply.content == f"judge {index}", (index, reply.content)
    print("done", n)

asyncio.run(main())
"""


def test_every_item_is_done_once_and_few_are_alive() -> None:
    alive = most = drawn = 0

    def items() -> object:
        nonlocal drawn
        for i in range(100):
            drawn = i
            yield i

    async def act(item: int) -> int:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        assert drawn - item < 8
        await asyncio.sleep(0)
        alive -= 1
        return item * 2

    async def main() -> dict[int, int]:
        return {index: result async for index, result in each_done(items(), act, 8)}  # type: ignore[arg-type]

    assert asyncio.run(main()) == {i: 2 * i for i in range(100)}
    assert most == 8


def test_the_first_error_stops_the_rest() -> None:
    finished: list[int] = []

    async def act(item: int) -> None:
        if item == 3:
            raise ValueError("three")
        await asyncio.sleep(0.05)
        finished.append(item)

    async def main() -> None:
        async for _ in each_done(range(1000), act, 4):
            pass

    with pytest.raises(ValueError, match="three"):
        asyncio.run(main())
    assert len(finished) <= 3


def test_an_item_that_is_cancelled_from_within_ends_the_rest_instead_of_hanging() -> None:
    async def act(item: int) -> None:
        if item == 3:
            raise asyncio.CancelledError
        await asyncio.sleep(0.01)

    async def main() -> None:
        async for _ in each_done(range(1000), act, 4):
            pass

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(asyncio.wait_for(main(), 5))


def test_the_collection_of_garbage_is_afterwards_as_it_was() -> None:
    before, n_frozen = gc.get_threshold(), gc.get_freeze_count()
    with pytest.raises(ValueError, match="inside"), rarely_collected(), rarely_collected():
        assert gc.get_threshold()[0] > before[0] and gc.isenabled()
        raise ValueError("inside")
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, n_frozen)


def test_a_run_killed_in_the_middle_goes_on_where_it_stopped(tmp_path: Path) -> None:
    n = 1200

    def answer(body: dict, number: int) -> Served:
        return Served(completion(body["messages"][0]["content"]), delay_s=0.002)

    with serving(answer) as server:
        command = [sys.executable, "-c", JUDGING, server.base_url, str(tmp_path), str(n)]
        first = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        while len(server.requests) < n // 2:
            assert first.poll() is None
            time.sleep(0.002)
        first.send_signal(signal.SIGKILL)
        first.wait()
        asked = len(server.requests)
        kept = len(LanceResponseCache(str(tmp_path)))
        # What is lost is what waited for its append and what was under way.
        assert asked - kept <= 256 + 16
        done = subprocess.run(
            command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True, capture_output=True
        )
        assert done.stdout.split() == [b"done", str(n).encode()]
        assert len(server.requests) == asked + n - kept
    assert len(LanceResponseCache(str(tmp_path))) == n


def test_two_writers_of_one_cache_keep_both_replies(tmp_path: Path) -> None:
    one, two = LanceResponseCache(str(tmp_path)), LanceResponseCache(str(tmp_path))
    one.put("a", {"said": "one"})
    two.put("a", {"said": "two"})
    two.put("b", {"said": "two"})
    one.close()
    two.close()
    again = LanceResponseCache(str(tmp_path))
    assert again.get("b") == {"said": "two"} and again.get("a") == {"said": "one"} and again.get("c") is None
