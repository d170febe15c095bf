"""Opening a connection: resolve, connect, shake hands. Every failure here is `NotSent`."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from typing import TypeAlias

from shared.binance.failures import NotSent, Reason
from shared.binance.tls_session import TlsSession

_READ_SIZE = 16 * 1024
_MAX_ADDRESSES = 4

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


async def dial(
    host: str, port: int, tls: ssl.SSLContext | None, budget_s: float
) -> tuple[socket.socket, TlsSession | None]:
    """Return a connected socket, with its TLS session when `tls` is given.

    Args:
        host: name or address.
        port: TCP port.
        tls: context that verifies the server, or None for plain TCP.
        budget_s: seconds the caller allows for all of it; shared out over the addresses, so that a dead first
            one leaves time for the next. The caller enforces the whole.

    Raises:
        NotSent: with reason dns, connect or tls.

    """
    sock = await _connect(host, port, budget_s)
    session = None
    ready = False
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            session = TlsSession(tls, host)
            await _shake_hands(sock, session, host)
        ready = True
    finally:
        if not ready:
            sock.close()
    return sock, session


async def _connect(host: str, port: int, budget_s: float) -> socket.socket:
    try:
        found = await resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise NotSent(Reason.DNS, f"The name {host} could not be resolved ({error}); check DNS.") from error
    addresses = found[:_MAX_ADDRESSES]
    last: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        try:
            async with asyncio.timeout(budget_s / len(addresses)):
                return await _connect_to(family, kind, protocol, address)
        except OSError as error:  # TimeoutError is one
            last = error
    raise NotSent(
        Reason.CONNECT,
        f"No connection to {host}:{port} ({last!r}); check the network and the exchange's status page.",
    ) from last


async def resolve(host: str, port: int) -> Sequence[tuple[int, int, int, str, Address]]:
    """Ask the system's resolver."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _connect_to(
    family: int,
    kind: int,
    protocol: int,
    address: Address,
) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    connected = False
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
        connected = True
    finally:
        if not connected:
            sock.close()
    return sock


async def _shake_hands(sock: socket.socket, session: TlsSession, host: str) -> None:
    loop = asyncio.get_running_loop()
    try:
        while not session.handshake():
            await _flush(sock, session)
            wire = await loop.sock_recv(sock, _READ_SIZE)
            session.give_incoming(wire)
        await _flush(sock, session)
    except ssl.SSLError as error:  # an OSError too, so it comes first
        raise NotSent(
            Reason.TLS,
            f"TLS with {host} failed ({error.reason or error}); check the host name, clock and CA bundle.",
        ) from error
    except OSError as error:
        raise NotSent(
            Reason.TLS, f"{host} broke the connection during the TLS handshake ({error!r})."
        ) from error


async def _flush(sock: socket.socket, session: TlsSession) -> None:
    outgoing = session.take_outgoing()
    if outgoing:
        await asyncio.get_running_loop().sock_sendall(sock, outgoing)
