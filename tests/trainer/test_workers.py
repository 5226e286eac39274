"""Promises of the worker processes."""

import os

import pytest

from trainer.workers import ALLOCATOR, Worker, WorkerPool


def read_environment(worker: Worker, name: str) -> str | None:
    return os.environ.get(name)


def test_workers_keep_freed_memory_and_the_caller_s_environment_stays() -> None:
    before = dict(os.environ)
    with WorkerPool(2, 1) as pool:
        assert pool.run(read_environment, ["GLIBC_TUNABLES"] * 2) == [ALLOCATOR["GLIBC_TUNABLES"]] * 2
    assert dict(os.environ) == before


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=0")
    with WorkerPool(2, 1) as pool:
        assert pool.run(read_environment, ["GLIBC_TUNABLES"] * 2) == ["glibc.malloc.check=0"] * 2
