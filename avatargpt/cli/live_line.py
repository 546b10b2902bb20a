"""Where the sound of what moves live comes from, and the WebSocket it goes to: what the live commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from avatargpt.cli.output import say
from vqvae.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avatargpt.export.websocket import WebSocketServer

Server = TypeVar("Server", bound="WebSocketServer")
PIPE = Path("-")
HERE = "127.0.0.1"
SUBJECT = "AvatarGPT"  # where nothing else is said
RATE = 16_000  # samples a second where nothing else is said


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


@dataclass(frozen=True, kw_only=True)
class LiveLine:
    """Where sound comes from and frames go to.

    Attributes:
        audio: a file, or `PIPE`; None with `microphone`, or where nobody speaks.
        rate: samples a second of pipe and microphone; None: as usual.
        websocket: an address, see `address`.
        subject: who is moving there; None: `SUBJECT`.
        origins, network: pages of other sites that may connect, and whether other machines may.
    """

    audio: Path | None
    microphone: str | None
    rate: int | None
    websocket: str | None
    subject: str | None
    origins: tuple[str, ...] = ()
    network: bool = False

    @property
    def named(self) -> dict[str, str | None]:
        """The options whose receivers learn who is moving, and what was given for them."""
        return {"--websocket": self.websocket}

    @property
    def sends(self) -> bool:
        """Whether frames go anywhere but into files."""
        return self.websocket is not None

    def check(self) -> None:
        """Raises UserError for a stdin that is closed, and for options of what is not there."""
        if self.audio == PIPE and sys.stdin is None:
            raise UserError("-: stdin is closed; accepted raw 16 bit mono PCM on it")
        if self.rate is not None and self.audio != PIPE and self.microphone is None:
            raise UserError(f"--rate {self.rate}: accepted with - and --microphone; a file says its own")
        if self.subject is not None and all(given is None for given in self.named.values()):
            raise UserError(f"--subject {self.subject}: accepted with {' and '.join(self.named)}")
        for origin in self.origins:
            scheme, colon, host = origin.partition("://")
            if origin != "null" and (not colon or not scheme.isalnum() or host == "" or {*host} & {*"/?#@* "}):
                raise UserError(f"--origin {origin}: accepted SCHEME://HOST[:PORT] as a browser says it, or null")
        if (self.origins or self.network) and self.websocket is None:
            option = "--allow-network" if self.network else f"--origin {self.origins[0]}"
            raise UserError(f"{option}: accepted with --websocket")

    @property
    def live(self) -> bool:
        """Whether frames are wanted while the sound comes."""
        return self.audio == PIPE or self.microphone is not None or self.sends

    @property
    def silent(self) -> bool:
        """Whether nobody speaks."""
        return self.audio is None and self.microphone is None

    @property
    def file(self) -> Path | None:
        """The sound, where it is a file."""
        return None if self.audio == PIPE else self.audio

    def heard_at(self) -> int:
        """Samples a second of the sound. Raises UserError for a rate that is not accepted, or a bad file."""
        from avatargpt.speech.audio import check_rate, inspect

        rate = RATE if self.rate is None else self.rate
        check_rate(rate, 1, "--rate")
        return rate if self.file is None else inspect(self.file).rate

    def piped(self, rate: int) -> Iterator[NDArray[Any]] | None:
        """Sound of a pipe, from now on: no faster than it is spoken where frames are sent, else as it comes."""
        from avatargpt.speech import live

        if self.audio != PIPE:
            return None
        parts = live.pipe_blocks(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
        return live.Listener(parts, rate, _late).blocks() if self.sends else parts

    def sound(
        self, rate: int, piped: Iterator[NDArray[Any]] | None, seconds: float | None = None
    ) -> Iterator[NDArray[Any]]:
        """Blocks of samples, each when it is over.

        Args:
            piped: what `piped` gave. seconds: of silence where nobody speaks; None = without end.
        """
        from avatargpt.speech import live
        from avatargpt.speech.audio import blocks

        if piped is not None:
            return piped
        if self.microphone is not None:
            return live.microphone_blocks(self.microphone, rate)
        return live.paced(live.silent_blocks(rate, seconds) if self.file is None else blocks(self.file), rate)

    def serve(self, opens: Callable[..., Server], sees: str, **options: Any) -> tuple[Server, list[str]]:
        """The WebSocket of this line, and lines that say where it is and who can see it.

        Args:
            opens: the class of the server. sees: what everybody on the network can do, where they can.
            options: of the server.

        Raises:
            UserError: an address that is not accepted.
        """
        from avatargpt.export.websocket import is_local

        host, port = address("--websocket", self.websocket or "", HERE, None)
        server = opens(
            host, port, SUBJECT if self.subject is None else self.subject, origins=self.origins, network=self.network,
            notify=partial(say, err=True), **options,
        )  # fmt: skip
        lines = [f"WebSocket on ws://{f'[{host}]' if ':' in host else host}:{port}"]
        if not is_local(host, port):
            lines.append(f"warning: everybody on this network can {sees}")
        return server, lines


def _late(seconds: float) -> None:
    of = f"{seconds:.1f} s of sound came before the first frame could be made"
    say(f"{of}; too old to be live, dropped", err=True)


def tell(about: dict[str, Any], files: list[str], as_json: bool) -> None:
    """Say how a live run went, and where its files are."""
    from avatargpt.cli import common

    if as_json:
        common.print_json({**about, "files": files})
        return
    say(", ".join(f"{about[name]} {name}" for name in ("frames", "seconds", "lost")), err=True)
    for name in files:
        say(name)


def write(
    output: list[Path], take: list[Any], options: Any, drawn: list[Any] | None, quiet: bool
) -> list[str]:
    """The files of a take, which cannot be had again: Ctrl-C leaves out what is still to be drawn, and nothing else."""
    from avatargpt.cli import common

    if not output or not take:
        return []
    films = [str(p) for p in output if p.suffix.lower() in common.DRAWN]
    if films and not quiet:
        say(f"drawing {', '.join(films)}: {len(take[0])} frames; Ctrl-C leaves that out", err=True)
    with common.progress("writing", quiet):
        return common.write_results(output, take, False, options, drawn, keep_finished=True)[0]


def check_left(output: list[Path], written: list[str]) -> None:
    """Raises typer.Exit(130) after one line where Ctrl-C left files out."""
    import typer

    if left := [p for p in output if str(p) not in written]:
        say(f"interrupted: {', '.join(map(str, left))} left out", err=True)
        raise typer.Exit(130)
