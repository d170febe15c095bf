"""TLS records in memory: what came in, what is to go out. No I/O.

The socket stays ours, so the transport knows how many bytes of a request's records the kernel took; asyncio's
own TLS layer hides that.
"""

import ssl

_READ_SIZE = 64 * 1024


class TlsSession:
    """One client session.

    Args:
        context: must verify certificates and host names.
        server_name: the host name or address the certificate has to name.

    """

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self.ended = False

    def handshake(self) -> bool:
        """Take the next step; return whether the handshake is complete.

        Raises:
            ssl.SSLError: the peer cannot be verified or does not speak TLS.

        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def take_outgoing(self) -> bytes:
        """Return the records that have to go to the peer now."""
        return self._outgoing.read()

    def give_incoming(self, wire: bytes) -> None:
        """Hand over bytes from the socket; empty at end of file."""
        if wire:
            self._incoming.write(wire)
        else:
            self._incoming.write_eof()

    def seal(self, plain: bytes) -> bytes:
        """Return the records that carry `plain`."""
        rest = memoryview(plain)
        while rest:
            rest = rest[self._tls.write(rest) :]
        return self._outgoing.read()

    def unseal(self) -> bytes:
        """Return the plain bytes that have arrived; sets `ended` when the peer said goodbye.

        Raises:
            ssl.SSLError: a damaged record or an alert.

        """
        parts: list[bytes] = []
        while True:
            try:
                part = self._tls.read(_READ_SIZE)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.ended = True
                break
            if not part:
                self.ended = True
                break
            parts.append(part)
        return b"".join(parts)
