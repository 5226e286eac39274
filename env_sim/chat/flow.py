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
    source, alive = enumerate(items), set[asyncio.Task[tuple[int, Result]]]()

    async def one(index: int, item: Item) -> tuple[int, Result]:
        return index, await act(item)

    try:
        while True:
            while len(alive) < n_at_once and (drawn := next(source, None)) is not None:
                alive.add(asyncio.create_task(one(*drawn)))
            if not alive:
                return
            done, alive = await asyncio.wait(alive, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: task.result()[0] if not task.exception() else -1):
                yield task.result()
    finally:
        for task in alive:
            task.cancel()
        await asyncio.gather(*alive, return_exceptions=True)
