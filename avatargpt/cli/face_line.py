"""Where the sound of a live face comes from and where its frames go: the options of ``avatargpt face`` for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.cli.output import say
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.live.loop import Sender

PIPE = Path("-")
HERE = "127.0.0.1"
SUBJECT = "AvatarGPT"  # where nothing else is said


def address(option: str, text: str, host: str | None, port: int | None) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPv6]:PORT``, and with defaults one of both.

    Raises:
        UserError: another form, or a port out of range.
    """
    before, colon, number_ = text.rpartition(":")
    numbered = number_.isdecimal() and len(number_) <= 5
    if numbered and (_is_host(before) if colon else host):
        name, number = before or host or "", int(number_)
    elif port is not None and _is_host(text) and not text.isdecimal():  # rather a port whose host was forgotten
        name, number = text, port or 0
    else:
        raise UserError(f"{option} {text}: accepted {'HOST[:PORT]' if port is not None else '[HOST:]PORT'}")
    if not 0 < number < 65536:
        raise UserError(f"{option} {text}: port {number}; accepted 1 to 65535")
    return name.strip("[]"), number


def _is_host(text: str) -> bool:
    """A name or an address, IPv6 in brackets."""
    if text[:1] == "[" and text[-1:] == "]":
        return text != "[]" and {*text[1:-1]} <= {*"0123456789abcdefABCDEF:."}
    return text != "" and not any(c.isspace() or c in ":[]" for c in text)


@dataclass(frozen=True)
class Line:
    """Where sound comes from and frames go to.

    Attributes:
        audio: a file, or `PIPE`; None with `microphone`, or where nobody speaks.
        rate: samples a second of pipe and microphone; None: as usual.
        live_link, vmc, websocket: addresses, see `address`.
        subject: whose face it is there; None: `SUBJECT`.
        lips: whose mouth, see `avatargpt.face.audio_model.conditioning.HEADS`.
        origins, network: pages of other sites that may connect, and whether other machines may.
        seconds: length where nobody speaks; None = what is told takes, or with a WebSocket until Ctrl-C.
    """

    audio: Path | None
    microphone: str | None
    rate: int | None
    live_link: str | None
    vmc: str | None
    websocket: str | None
    subject: str | None
    lips: str = "rule"
    origins: tuple[str, ...] = ()
    network: bool = False
    seconds: float | None = None

    def check(self) -> None:
        """Raises UserError for a stdin that is closed, and for options of what is not there."""
        if self.audio == PIPE and sys.stdin is None:
            raise UserError("-: stdin is closed; accepted raw 16 bit mono PCM on it")
        if self.rate is not None and self.audio != PIPE and self.microphone is None:
            raise UserError(f"--rate {self.rate}: accepted with - and --microphone; a file says its own")
        if self.subject is not None and self.live_link is None and self.websocket is None:
            raise UserError(f"--subject {self.subject}: accepted with --live-link and --websocket")
        for origin in self.origins:
            scheme, colon, host = origin.partition("://")
            if origin != "null" and (not colon or not scheme.isalnum() or host == "" or {*host} & {*"/?#@* "}):
                raise UserError(f"--origin {origin}: accepted SCHEME://HOST[:PORT] as a browser says it, or null")
        if (self.origins or self.network) and self.websocket is None:
            named = "--allow-network" if self.network else f"--origin {self.origins[0]}"
            raise UserError(f"{named}: accepted with --websocket")

    @property
    def live(self) -> bool:
        """Whether frames are wanted while the sound comes."""
        return self.audio == PIPE or self.microphone is not None or self.sends

    @property
    def sends(self) -> bool:
        """Whether frames go anywhere but into files."""
        return any(a is not None for a in (self.live_link, self.vmc, self.websocket))

    @property
    def silent(self) -> bool:
        """Whether nobody speaks."""
        return self.audio is None and self.microphone is None

    @property
    def file(self) -> Path | None:
        """The sound, where it is a file."""
        return None if self.audio == PIPE else self.audio

    def open(
        self, stack: ExitStack, hear: Callable[[str, Callable[[dict[str, Any]], None]], None]
    ) -> tuple[list[Sender], list[str]]:
        """Senders to all addresses, which `stack` closes, and lines that say where frames go.

        Args:
            hear: takes what WebSocket clients say, see `avatargpt.export.face.websocket.WebSocketSender`.

        Raises:
            UserError: an address that is not accepted.
        """
        from avatargpt.export.face.live_link import PORT, LiveLinkSender

        subject = SUBJECT if self.subject is None else self.subject
        senders: list[Sender] = []
        lines: list[str] = []

        def add(sender: Sender, told: str) -> None:
            senders.append(sender)
            stack.callback(sender.close)
            lines.append(told)

        if self.live_link is not None:
            host, port = address("--live-link", self.live_link, None, PORT)
            add(LiveLinkSender(host, port, subject), f"Live Link to {host}:{port} as {subject}")
        if self.vmc is not None:
            from avatargpt.export.face import vmc

            host, port = address("--vmc", self.vmc, None, vmc.PORT)
            add(vmc.VMCSender(host, port), f"VMC to {host}:{port}")
        if self.websocket is not None:
            from avatargpt.export.face.websocket import WebSocketSender, is_local

            host, port = address("--websocket", self.websocket, HERE, None)
            server = WebSocketSender(
                host, port, subject, hear=hear, origins=self.origins, network=self.network, tell=partial(say, err=True)
            )  # fmt: skip
            add(server, f"WebSocket on ws://{f'[{host}]' if ':' in host else host}:{port}")
            if not is_local(host, port):
                lines.append("warning: everybody on this network can watch the face and tell it what to do")
        return senders, lines
