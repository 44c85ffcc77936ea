"""Asks the mock of what it has counted. Loads nothing that asyncio does not: the memory of its users is measured."""

from __future__ import annotations

import contextlib
import json
import socket
from typing import Any


def ask(port: int, path: str, ca_file: str = "") -> dict[str, Any]:
    """What the mock on that port tells of itself."""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        if ca_file:
            import ssl

            context = ssl.create_default_context(cafile=ca_file)
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname="127.0.0.1"))
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: mock\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(4096)
    told: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return told
