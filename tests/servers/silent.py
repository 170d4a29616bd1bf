"""A server that never answers, for callers in other threads than Trio's."""

from __future__ import annotations

import socket

SECONDS = 30


class Silent:
    """It sees whether its peer is there. Its listener is to be closed."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(SECONDS)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def accept(self) -> socket.socket:
        """Wait for the first bytes of a request."""
        connection, _ = self.listener.accept()
        connection.settimeout(SECONDS)
        assert connection.recv(1)
        return connection

    @staticmethod
    def sees_it_go(connection: socket.socket) -> bool:
        """Wait for the peer to close."""
        while connection.recv(4096):
            pass
        return True
