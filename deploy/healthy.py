"""The containers' health probe: `python -I -S healthy.py [PORT [PATH]]` asks the process beside.

Every few seconds, for every container: so it imports nothing but a socket (-S leaves out even the packages'
folder), 40 ms of processor time instead of 90 with urllib.
"""

import os
import socket
import sys

TIMEOUT_S = 3


def main(port: str = "", path: str = "/healthz") -> int:
    """Ask once; returns the exit code."""
    port = port or os.environ["BRIDGE_METRICS_PORT"]
    try:
        with socket.create_connection(("127.0.0.1", int(port)), TIMEOUT_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            answer = connection.recv(64)
    except OSError as error:
        print(f"port {port} does not answer: {error}")
        return 1
    print(answer.partition(b"\r\n")[0].decode("ascii", "replace"))
    return 0 if answer.split(b" ")[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
