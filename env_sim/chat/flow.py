"""Many calls at once, a bounded number of them alive: memory doesn't grow with the work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar

__all__ = ["each_done"]

Item = TypeVar("Item")
Result = TypeVar("Result")


async def each_done(
    items: Iterable[Item], act: Callable[[Item], Awaitable[Result]], n_at_once: int
) -> AsyncIterator[tuple[int, Result]]:
    """Index and result of each item as it is done; items are drawn only when there is room.

    The first error cancels what is under way and is raised.
    """
    source = enumerate(items)
    # Bounded: a slow reader holds the workers up instead of filling the memory.
    done: asyncio.Queue[tuple[int, Result] | BaseException | None] = asyncio.Queue(n_at_once)
    reading = True

    async def work() -> None:
        try:
            for index, item in source:
                await done.put((index, await act(item)))
        except BaseException as error:
            if not reading:
                raise
            await done.put(error)
        else:
            await done.put(None)

    workers = [asyncio.create_task(work()) for _ in range(n_at_once)]
    try:
        n_working = n_at_once
        while n_working:
            told = await done.get()
            if isinstance(told, BaseException):
                raise told
            if told is None:
                n_working -= 1
            else:
                yield told
    finally:
        reading = False
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
