"""Where the sound of a live face comes from and where its frames go: the options of ``avatargpt face`` for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from avatargpt.cli.live_line import SUBJECT, LiveLine, address

if TYPE_CHECKING:
    from avatargpt.face.live import Sender


@dataclass(frozen=True, kw_only=True)
class Line(LiveLine):
    """Where sound comes from and frames go to.

    Attributes:
        live_link, vmc: addresses, see `avatargpt.cli.live_line.address`.
        lips: whose mouth, see `avatargpt.face.audio_model.conditioning.HEADS`.
        seconds: length where nobody speaks; None = what is told takes, or with a WebSocket until Ctrl-C.
    """

    live_link: str | None
    vmc: str | None
    lips: str = "rule"
    seconds: float | None = None

    @property
    def named(self) -> dict[str, str | None]:
        return {"--live-link": self.live_link, **super().named}

    @property
    def sends(self) -> bool:
        return any(a is not None for a in (self.live_link, self.vmc, self.websocket))

    def open(
        self, stack: ExitStack, hear: Callable[[str, Callable[[dict[str, Any]], None]], None]
    ) -> tuple[list[Sender], list[str]]:
        """Senders to all addresses, which `stack` closes, and lines that say where frames go.

        Args:
            hear: takes what WebSocket clients say, see `avatargpt.export.websocket.WebSocketServer`.

        Raises:
            UserError: an address that is not accepted.
        """
        from avatargpt.export.udp_senders import LIVE_LINK_PORT, VMC_PORT, LiveLinkSender, VMCSender

        subject = SUBJECT if self.subject is None else self.subject
        senders: list[Sender] = []
        lines: list[str] = []

        def add(sender: Sender, *told: str) -> None:
            senders.append(sender)
            stack.callback(sender.close)
            lines.extend(told)

        if self.live_link is not None:
            host, port = address("--live-link", self.live_link, None, LIVE_LINK_PORT)
            add(LiveLinkSender(host, port, subject), f"Live Link to {host}:{port} as {subject}")
        if self.vmc is not None:
            host, port = address("--vmc", self.vmc, None, VMC_PORT)
            add(VMCSender(host, port), f"VMC to {host}:{port}")
        if self.websocket is not None:
            from avatargpt.export.websocket import FaceSender

            server, told = self.serve(FaceSender, "watch the face and tell it what to do", receiver=hear)
            add(server, *told)
        return senders, lines
