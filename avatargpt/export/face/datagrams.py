"""UDP to one listener: nobody need listen, and what is lost is lost."""

from __future__ import annotations

import socket
from typing import Any

from vqvae.errors import UserError


class Datagrams:
    """Sends datagrams to one address, IPv4 where a name has both kinds: Unreal and VMC programs listen there.

    Args:
        host, port: of the listener. what: kind of listener, for messages.

    Raises:
        UserError: a host that is not known, or that no network leads to.
    """

    def __init__(self, host: str, port: int, what: str) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, to = min(found, key=lambda one: one[0] != socket.AF_INET)
            with socket.socket(family, kind, protocol) as way:
                way.connect(to)  # sends nothing; fails where no network leads there
        except (OSError, UnicodeError) as e:
            reason = getattr(e, "strerror", None) or e
            raise UserError(f"{host}:{port}: {reason}; accepted HOST:PORT of a {what} listener") from None
        self._to: Any = to
        self._socket = socket.socket(family, kind, protocol)

    def send(self, data: bytes) -> bool:
        """Whether the network took it."""
        try:
            self._socket.sendto(data, self._to)
        except OSError:
            return False
        return True

    def close(self) -> None:
        self._socket.close()
