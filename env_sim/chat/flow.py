"""Many calls at once, a bounded number of them alive: memory doesn't grow with the work."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["each_done", "rarely_collected"]

COLLECTED_AFTER = (50_000, 20, 100)
"""Objects made, and collections of the younger generations, before garbage is looked for: some 10 MB of cycles."""

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


@contextmanager
def rarely_collected() -> Iterator[None]:
    """Let Python look for cyclic garbage rarely meanwhile, and not among what is there already.

    Episodes leave next to none, while hundreds of them under way would be walked through again and again. The settings
    are the process's; they are as before afterwards.
    """
    before, n_frozen = gc.get_threshold(), gc.get_freeze_count()
    gc.set_threshold(*COLLECTED_AFTER)
    if not n_frozen:
        gc.freeze()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if not n_frozen:
            gc.unfreeze()
