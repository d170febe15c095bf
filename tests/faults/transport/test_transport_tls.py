"""TLS is verified always, fails as `NotSent`, and the byte count holds under it."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shared.binance.connection import Connection
from shared.binance.failures import NoAnswer, NotSent, OutcomeUnknown, Reason
from shared.binance.tls_session import TlsSession
from shared.binance.transport import BinanceTransport
from tests.faults.transport.raw_server import Peer, answer_all, whole
from tests.faults.transport.test_transport_byte_count import REQUEST, cut_pair


@dataclass
class Certificates:
    """A certificate for 127.0.0.1 and the file that makes a client trust it."""

    server: ssl.SSLContext
    trusted_by: Path

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.trusted_by)


def make(folder: Path, address: str, days: int = 1) -> Certificates:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "exchange")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=10))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, private = folder / f"{address}.pem", folder / f"{address}.key"
    chain.write_bytes(certificate.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(chain, private)
    return Certificates(server, chain)


@pytest.fixture
def certificates(tmp_path) -> Certificates:
    return make(tmp_path, "127.0.0.1")


async def ask(subject: BinanceTransport, url: str) -> httpx.Response:
    return await subject.handle_async_request(httpx.Request("POST", url + "/api/v3/order?a=1"))


async def test_verified_server_answers_on_a_connection_that_is_kept(serve, certificates):
    """With the right CA two requests use one connection, session tickets notwithstanding."""
    server = serve(answer_all, tls=certificates.server)
    async with BinanceTransport(tls=certificates.client()) as subject:
        assert await subject.warm(server.url, 1) == 1
        for _ in range(2):
            assert (await ask(subject, server.url)).status_code == 200
    assert server.connections == 1
    assert len(server.requests) == 2


async def test_unknown_authority_is_not_sent(serve, certificates):
    """A certificate nobody vouches for: the handshake fails, nothing of the request is written."""
    server = serve(answer_all, tls=certificates.server)
    async with BinanceTransport() as subject:
        with pytest.raises(NotSent) as failure:
            await ask(subject, server.url)
    assert failure.value.reason is Reason.TLS
    assert failure.value.bytes_written == 0
    assert server.requests == []


async def test_certificate_for_another_host_is_not_sent(serve, tmp_path):
    """A trusted certificate that names another address does not do."""
    other = make(tmp_path, "127.0.0.2")
    server = serve(answer_all, tls=other.server)
    async with BinanceTransport(tls=other.client()) as subject:
        with pytest.raises(NotSent) as failure:
            await ask(subject, server.url)
    assert failure.value.reason is Reason.TLS
    assert server.requests == []


async def test_expired_certificate_is_not_sent(serve, tmp_path):
    """A certificate past its date does not do."""
    expired = make(tmp_path, "127.0.0.1", days=-1)
    server = serve(answer_all, tls=expired.server)
    async with BinanceTransport(tls=expired.client()) as subject:
        with pytest.raises(NotSent) as failure:
            await ask(subject, server.url)
    assert failure.value.reason is Reason.TLS


@pytest.mark.parametrize(
    "script",
    [
        lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        lambda peer: peer.sock.recv(10),
        lambda peer: (peer.sock.recv(10), peer.reset()),
    ],
    ids=["plain text", "closed", "reset"],
)
async def test_handshake_that_breaks_is_not_sent(serve, certificates, script):
    """A peer that speaks something else or goes away in the handshake: nothing of the request is written."""
    server = serve(script)
    async with BinanceTransport(tls=certificates.client()) as subject:
        with pytest.raises(NotSent) as failure:
            await ask(subject, server.url.replace("http", "https"))
    assert failure.value.reason is Reason.TLS


async def test_handshake_that_hangs_is_not_sent(serve, certificates):
    """A peer that accepts and says nothing: the connect timeout covers the handshake too."""
    server = serve(Peer.wait_for_end)
    async with BinanceTransport(tls=certificates.client(), connect_timeout_s=0.2) as subject:
        with pytest.raises(NotSent) as failure:
            await ask(subject, server.url.replace("http", "https"))
    assert failure.value.bytes_written == 0


@pytest.mark.parametrize("keep", range(0, len(whole(b"{}")), 5))
async def test_half_an_answer_under_tls_is_unknown(serve, certificates, keep):
    """An end of stream before the answer is whole is unknown, with or without TLS's own goodbye."""

    def cut(peer: Peer) -> None:
        peer.read_request()
        if keep:
            peer.send(whole(b"{}")[:keep])

    server = serve(cut, tls=certificates.server)
    async with BinanceTransport(tls=certificates.client()) as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await ask(subject, server.url)
    assert failure.value.reason in {Reason.CLOSED, Reason.RESET}
    assert len(server.requests) == server.connections == 1


async def test_goodbye_of_tls_ends_the_answer_though_the_socket_stays_open(serve, certificates):
    """TLS's own end of stream counts as the end: unknown at once, not after the answer timeout."""

    def say_goodbye(peer: Peer) -> None:
        peer.read_request()
        peer.send(whole(b"{}")[:-1])
        assert isinstance(peer.sock, ssl.SSLSocket)
        peer.sock.unwrap()

    server = serve(say_goodbye, tls=certificates.server)
    async with BinanceTransport(tls=certificates.client()) as subject:
        with pytest.raises(OutcomeUnknown) as failure:
            await ask(subject, server.url)
    assert failure.value.reason is Reason.CLOSED


def handshaken(certificates: Certificates) -> tuple[TlsSession, ssl.SSLObject]:
    """Let two sessions shake hands in memory."""
    client = TlsSession(certificates.client(), "127.0.0.1")
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = certificates.server.wrap_bio(incoming, outgoing, server_side=True)
    done = False
    while not done:
        done = client.handshake()
        incoming.write(client.take_outgoing())
        with contextlib.suppress(ssl.SSLWantReadError):
            server.do_handshake()
        if outgoing.pending:
            client.give_incoming(outgoing.read())
    return client, server


@pytest.mark.parametrize("limit", [0, 1, 5, len(REQUEST)])
async def test_byte_count_under_tls_counts_the_records(certificates, limit):
    """Zero bytes of the request's records out is `NotSent`, one is not."""
    ours, theirs = cut_pair(limit)
    with theirs:
        session, _ = handshaken(certificates)
        with pytest.raises(NoAnswer) as failure:
            await Connection(ours, session).exchange(REQUEST, 10, 1000)
        assert type(failure.value) is (NotSent if limit == 0 else OutcomeUnknown)
        assert failure.value.bytes_written == limit
        assert len(theirs.recv(1000)) == limit


async def test_damaged_record_is_unknown(certificates):
    """Bytes that are no TLS record after the request: unknown, closed."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    session, _ = handshaken(certificates)
    connection = Connection(ours, session)

    def spoil() -> None:
        theirs.recv(1000)
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=spoil)
    thread.start()
    with pytest.raises(OutcomeUnknown) as failure:
        await connection.exchange(REQUEST, 10, 1000)
    thread.join()
    theirs.close()
    assert failure.value.reason is Reason.FRAMING
    assert connection.closed


def test_context_that_does_not_verify_is_refused():
    """There is no way to switch verification off."""
    lax = ssl.create_default_context()
    lax.check_hostname = False
    with pytest.raises(ValueError, match="must verify"):
        BinanceTransport(tls=lax)
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="must verify"):
        BinanceTransport(tls=lax)
