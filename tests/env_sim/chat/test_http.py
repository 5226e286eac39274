"""Promises of the connections, kept against a server of raw bytes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from env_sim.chat import http
from env_sim.chat.http import Answer, BadAnswerError, Connections, LateAnswerError, NoConnectionError

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@dataclass
class Wire:
    """A server that answers the n-th request with the n-th piece of bytes; None closes instead."""

    answers: list[bytes | None]
    port: int = 0
    n_connections: int = 0
    requests: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                answer = self.answers[len(self.requests) - 1]
                if answer is None:
                    break
                # By single bytes: no answer may depend on how it was cut.
                for start in range(len(answer)):
                    writer.write(answer[start : start + 1])
                    await writer.drain()
                if b"Connection: close" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def open(self, **changed: Any) -> AsyncIterator[Connections]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=changed.pop("tls", None))
        self.port = server.sockets[0].getsockname()[1]
        address = changed.pop("address", "http://127.0.0.1:{port}/v1").format(port=self.port)
        bounds = {"timeout_s": 5.0, "connect_timeout_s": 5.0, **changed}
        connections = Connections(address, {"X-Ours": "yes"}, **bounds)
        try:
            yield connections
        finally:
            connections.close()
            server.close()
            await server.wait_closed()


def asked(wire: Wire, act: Callable[[Connections], Awaitable[Any]], **changed: Any) -> Any:
    async def inside() -> Any:
        async with wire.open(**changed) as connections:
            return await act(connections)

    return asyncio.run(inside())


async def once(connections: Connections) -> Answer:
    return await connections.post("/chat", b"{}")


async def twice(connections: Connections) -> list[Answer]:
    return [await once(connections), await once(connections)]


def test_a_request_holds_address_headers_and_content() -> None:
    wire = Wire([PLAIN])
    answer = asked(wire, once, address="http://127.0.0.1:{port}/v1/?version=2")
    assert answer == Answer(200, {b"content-length": b"5"}, b"hello")
    head, body = wire.requests[0].split(b"\r\n\r\n")
    assert head.splitlines()[0] == b"POST /v1/chat?version=2 HTTP/1.1" and body == b"{}"
    assert {f"Host: 127.0.0.1:{wire.port}".encode(), b"X-Ours: yes"} <= set(head.splitlines())


def test_one_connection_serves_one_request_after_the_other() -> None:
    wire = Wire([PLAIN, PLAIN])
    assert [answer.body for answer in asked(wire, twice)] == [b"hello"] * 2
    assert wire.n_connections == 1


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200, b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN, 200, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 503 Away\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", 503, b""),
        (b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello", 200, b"hello"),
    ],
    ids=["chunked", "interim", "no content", "refusal", "ends with its connection"],
)
def test_every_form_of_an_answer_is_read(answer: bytes, status: int, body: bytes) -> None:
    found = asked(Wire([answer]), once)
    assert (found.status, found.body) == (status, body)


def test_a_connection_that_the_server_closes_is_not_used_again() -> None:
    wire = Wire([PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), PLAIN])
    assert [answer.body for answer in asked(wire, twice)] == [b"hello"] * 2
    assert wire.n_connections == 2


def test_a_connection_that_rested_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_S", 0.0)
    wire = Wire([PLAIN, PLAIN])
    asked(wire, twice)
    assert wire.n_connections == 2


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\nContent-Len", PLAIN.replace(b"hello", b"wrong")])
def test_an_answer_that_nobody_asked_for_is_nobodys(more: bytes) -> None:
    async def late(connections: Connections) -> list[bytes]:
        first = await once(connections)
        await asyncio.sleep(0.05)
        return [first.body, (await once(connections)).body]

    wire = Wire([PLAIN + more, PLAIN])
    assert asked(wire, late) == [b"hello", b"hello"]
    assert wire.n_connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close",
        b"SSH-2.0-OpenSSH_9.6\r\n",
    ],
    ids=["none", "cut", "cut in chunks", "cut in its head", "other protocol"],
)
def test_half_an_answer_is_none(answer: bytes | None) -> None:
    wire = Wire([answer, PLAIN])

    async def again(connections: Connections) -> Answer:
        with pytest.raises(BadAnswerError):
            await once(connections)
        return await once(connections)

    assert asked(wire, again).body == b"hello"


def test_a_request_has_its_whole_time_whatever_its_connection_did_before() -> None:
    async def second(connections: Connections) -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        await once(connections)
        await asyncio.sleep(0.15)
        start = loop.time()
        with pytest.raises(LateAnswerError):
            await once(connections)
        return wire.n_connections, loop.time() - start

    wire = Wire([PLAIN, b""])
    n_connections, waited_s = asked(wire, second, timeout_s=0.2)
    assert n_connections == 1 and 0.19 < waited_s < 0.35


def test_an_answer_that_is_late_or_given_up_is_not_the_next_ones() -> None:
    wire = Wire([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"", PLAIN])

    async def again(connections: Connections) -> Answer:
        with pytest.raises(LateAnswerError, match=r"0\.2 s"):
            await once(connections)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(once(connections), 0.05)
        return await once(connections)

    assert asked(wire, again, timeout_s=0.2).body == b"hello"
    assert wire.n_connections == 3


def test_no_connection_is_told_from_a_lost_one() -> None:
    async def gone() -> None:
        async with Wire([]).open() as connections:
            pass
        await once(connections)

    with pytest.raises(NoConnectionError, match=r"127\.0\.0\.1"):
        asyncio.run(gone())


def certificate(folder: Path) -> ssl.SSLContext:
    """A server's TLS with a certificate of its own, written beside as `ca.pem`."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(1))
        .not_valid_after(now + timedelta(1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "ca.pem", folder / "key.pem")
    return context


def test_tls_is_spoken_to_those_whom_an_authority_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = {"tls": certificate(tmp_path), "address": "https://127.0.0.1:{port}/v1"}
    with pytest.raises(NoConnectionError, match="certificate"):
        asked(Wire([PLAIN]), once, **place)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    wire = Wire([PLAIN, PLAIN])
    assert [answer.body for answer in asked(wire, twice, **place)] == [b"hello"] * 2
    assert wire.n_connections == 1
