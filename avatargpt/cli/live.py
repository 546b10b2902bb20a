"""Live commands: their sound, the addresses that frames are sent to, and the files of the performance."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from avatargpt.cli.common import DRAWN, Output, option, print_json, progress, say, write_results
from avatargpt.options import SOUND_RATE
from vqvae.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avatargpt.export.avatar_file import AvatarFile
    from avatargpt.export.websocket import WebSocketServer
    from avatargpt.speech.live import SoundClock

PIPE = Path("-")
LOCAL_HOST = "127.0.0.1"
DEFAULT_SUBJECT = "AvatarGPT"
SWITCH_INTERVAL = 0.0005  # s after which one thread lets another run
Names = Annotated[
    str | None, option("--names NAME", "Of expressions (VMC, .vrma): all, presets, camel (jawOpen), pascal.")
]
AvatarOption = Annotated[Path | None, option("--avatar FILE", "The .vrm that VMC or .vrma moves: its names and bones.")]


@dataclass(frozen=True, kw_only=True)
class LiveOptions:
    """Where live sound comes from, and where frames go."""

    microphone: Annotated[str | None, option("--microphone NAME", "Listen instead of AUDIO: default, or a device.")] = (
        None
    )
    # None: as usual
    rate: Annotated[
        int | None, option("--rate HZ", "Samples a second of - (16 bit mono) or microphone; usually 16000.")
    ] = None
    live_link: Annotated[str | None, option("--live-link HOST[:PORT]", "Send frames to Unreal as they come.")] = None
    vmc: Annotated[str | None, option("--vmc HOST[:PORT]", "Send frames to VMC programs (OSC) as they come.")] = None
    ifacialmocap: Annotated[
        str | None, option("--ifacialmocap HOST[:PORT]", "Send frames as the app iFacialMocap does.")
    ] = None
    websocket: Annotated[str | None, option("--websocket [HOST:]PORT", "Serve frames to browsers as they come.")] = None
    origin: Annotated[list[str] | None, option("--origin URL", "Another site whose pages may connect. Repeatable.")] = (
        None
    )
    allow_network: Annotated[
        bool, option("--allow-network", "Let other machines connect to --websocket HOST:PORT.")
    ] = False
    keep: Annotated[
        float, option("--keep S", "Seconds of - or microphone before the first frame that are kept: 0 to 5.")
    ] = 0.0
    # None: `DEFAULT_SUBJECT`
    subject: Annotated[str | None, option("--subject NAME", "Name of who is moving there; usually AvatarGPT.")] = None


@dataclass(frozen=True, kw_only=True)
class FaceOptions(LiveOptions):
    """Of faces, whose receivers may send words."""

    websocket: Annotated[str | None, option("--websocket [HOST:]PORT", "Serve frames to browsers, take words.")] = None


@dataclass(frozen=True, kw_only=True)
class BodyOptions(LiveOptions):
    """Of bodies, which receivers of faces do not take."""

    live_link: str | None = None
    ifacialmocap: str | None = None


@dataclass(frozen=True, kw_only=True)
class FilmOptions(LiveOptions):
    """Of a camera's face, without sound."""

    microphone: str | None = None
    rate: int | None = None
    ifacialmocap: str | None = None
    origin: list[str] | None = None
    allow_network: bool = False
    keep: float = 0.0


@dataclass(frozen=True, kw_only=True)
class LiveLine(LiveOptions):
    """A source of sound and the addresses of receivers."""

    audio: Path | None = None  # a file, or `PIPE`; None with `microphone`, or where nobody speaks
    names: str | None = None  # of expressions on VMC; None: those of `avatar`, or all
    avatar: AvatarFile | None = None  # that VMC moves
    clock: SoundClock  # of the sound, for frames

    @classmethod
    def of(
        cls, options: LiveOptions, audio: Path | None, names: str | None = None, avatar: AvatarFile | None = None
    ) -> Self:
        """With the options of a command, checked. Raises UserError, see `check`."""
        from avatargpt.speech.live import SoundClock

        line = cls(**vars(options), audio=audio, names=names, avatar=avatar, clock=SoundClock())
        line.check()
        return line

    def check(self) -> None:
        """Raises UserError for a stdin that is closed, and for options that go with a missing one."""
        from avatargpt.speech.live import MAX_KEPT

        if self.audio == PIPE and sys.stdin is None:
            raise UserError("-: stdin is closed; accepted raw 16 bit mono PCM on it")
        if self.rate is not None and self.audio != PIPE and self.microphone is None:
            raise UserError(f"--rate {self.rate}: accepted with - and --microphone; a file says its own")
        if not 0 <= self.keep <= MAX_KEPT:
            raise UserError(f"--keep {self.keep:g}: accepted 0 to {MAX_KEPT:g} seconds")
        if self.keep and self.audio != PIPE and self.microphone is None:
            raise UserError(f"--keep {self.keep:g}: accepted with - and --microphone")
        if self.subject is not None and self.websocket is None and self.live_link is None:
            raise UserError(f"--subject {self.subject}: accepted with --websocket, or --live-link of a face")
        for origin in self.origin or ():
            scheme, colon, host = origin.partition("://")
            if origin != "null" and (not colon or not scheme.isalnum() or host == "" or {*host} & {*"/?#@* "}):
                raise UserError(f"--origin {origin}: accepted SCHEME://HOST[:PORT] as a browser says it, or null")
        if (self.origin or self.allow_network) and self.websocket is None:
            name = "--allow-network" if not self.origin else f"--origin {self.origin[0]}"
            raise UserError(f"{name}: accepted with --websocket")

    @property
    def sends(self) -> bool:
        """Whether frames go anywhere but into files."""
        return any(a is not None for a in (self.live_link, self.vmc, self.ifacialmocap, self.websocket))

    @property
    def live(self) -> bool:
        """Whether frames are needed while the sound comes."""
        return self.audio == PIPE or self.microphone is not None or self.sends

    @property
    def silent(self) -> bool:
        """Whether nobody speaks."""
        return self.audio is None and self.microphone is None

    @property
    def file(self) -> Path | None:
        """The sound, where it is a file."""
        return None if self.audio == PIPE else self.audio

    def sample_rate(self) -> int:
        """Samples a second of the sound. Raises UserError for a rate that is not accepted, or a bad file."""
        from avatargpt.speech.audio import check_rate, inspect

        rate = SOUND_RATE if self.rate is None else self.rate
        check_rate(rate, 1, "--rate")
        return rate if self.file is None else inspect(self.file).rate

    def read_pipe(self, rate: int) -> Iterator[NDArray[Any]] | None:
        """Sound of a pipe, from now on: no faster than it is spoken where frames are sent, else as it comes."""
        from avatargpt.speech import live

        if self.audio != PIPE and not (self.keep and self.microphone is not None):
            return None
        if self.microphone is not None:
            parts = live.microphone_blocks(self.microphone, rate)
        else:
            parts = live.pipe_blocks(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
            if not self.sends:
                return parts

        def report(seconds: float) -> None:
            lost = f"{seconds:.1f} s of sound came before the first frame could be made"
            say(f"{lost}; too old to be live, dropped", err=True)

        return live.Listener(parts, rate, report, self.keep, self.clock).blocks()

    def sound(
        self, rate: int, piped: Iterator[NDArray[Any]] | None, seconds: float | None = None
    ) -> Iterator[NDArray[Any]]:
        """Blocks of samples, each when it is over."""
        from avatargpt.speech import live
        from avatargpt.speech.audio import blocks

        if piped is not None:
            return piped
        if self.microphone is not None:
            return live.microphone_blocks(self.microphone, rate)
        return live.pace_sound(live.silent_blocks(rate, seconds) if self.file is None else blocks(self.file), rate)

    def open(
        self, stack: ExitStack, server_class: Callable[..., WebSocketServer], access: str, **options: Any
    ) -> tuple[list[Any], list[str]]:
        """Senders to all addresses, which `stack` closes, and lines that say where frames go."""
        from avatargpt.export.udp_senders import IFACIALMOCAP_PORT, LIVE_LINK_PORT, IFacialMocapSender, LiveLinkSender
        from avatargpt.export.vmc import PORT as VMC_PORT
        from avatargpt.export.vmc import VMCSender
        from avatargpt.export.websocket import is_local

        subject = DEFAULT_SUBJECT if self.subject is None else self.subject
        senders: list[Any] = []
        lines: list[str] = []

        def add(sender: Any, line: str) -> None:
            sender.clock = self.clock
            senders.append(sender)
            stack.callback(sender.close)
            lines.append(line)

        if self.live_link is not None:
            host, port = address("--live-link", self.live_link, None, LIVE_LINK_PORT)
            add(LiveLinkSender(host, port, subject), f"Live Link to {host}:{port} as {subject}")
        if self.ifacialmocap is not None:
            host, port = address("--ifacialmocap", self.ifacialmocap, None, IFACIALMOCAP_PORT)
            add(IFacialMocapSender(host, port), f"iFacialMocap to {host}:{port}")
        if self.vmc is not None:
            host, port = address("--vmc", self.vmc, None, VMC_PORT)
            add(VMCSender(host, port, self.names, self.avatar), f"VMC to {host}:{port}")
        if self.websocket is not None:
            host, port = address("--websocket", self.websocket, LOCAL_HOST, None)
            server = server_class(
                host, port, subject, origins=tuple(self.origin or ()), network=self.allow_network,
                notify=partial(say, err=True), **options,
            )  # fmt: skip
            add(server, f"WebSocket on ws://{f'[{host}]' if ':' in host else host}:{port}")
            if not is_local(host, port):
                lines.append(f"warning: everybody on this network can {access}")
        return senders, lines


def expression_names(
    names: str | None, avatar: Path | None, paths: Sequence[Path], vmc: str | None
) -> tuple[str | None, AvatarFile | None]:
    """The names for .vrma files, by --names or else the avatar's, and the avatar.

    Raises UserError for unknown names, an avatar without a face, and options without a receiver.
    """
    from avatargpt.export import has_option
    from avatargpt.export.avatar_file import read_avatar
    from avatargpt.export.expressions import NAMES

    for option_name, value in (("--names", names), ("--avatar", avatar)):
        if value is not None and vmc is None and not any(has_option(path, "names") for path in paths):
            raise UserError(f"{option_name} {value}: accepted with --vmc HOST, or -o FILE.vrma")
    if names is not None and names not in NAMES:
        raise UserError(f"--names {names}: accepted {', '.join(NAMES)}")
    if avatar is None:
        return names, None
    file = read_avatar(avatar)
    if names is None and file.names is None:
        raise UserError(f"--avatar {avatar}: no expressions or shapes of a face; accepted an avatar with VRM's presets "
                        "or ARKit's shapes (see `avatargpt avatar`), or --names")  # fmt: skip
    return names or file.names, file


def run(stack: ExitStack, lines: Sequence[str], perform: Callable[[], object]) -> None:
    """Perform until the sound ends or Ctrl-C, and let nothing hold frames up until `stack` ends.

    What was loaded is not searched for garbage again, which takes tenths of a second. A frame's hundred small products
    each give the interpreter away; orders that are read meanwhile must give it back sooner than after 5 ms.

    Args:
        lines: printed now, when nothing can be refused any more.
    """
    import gc

    gc.collect()
    gc.freeze()
    stack.callback(sys.setswitchinterval, sys.getswitchinterval())
    sys.setswitchinterval(SWITCH_INTERVAL)
    for line in lines:
        say(line, err=True)
    try:
        perform()
    except KeyboardInterrupt:
        say("stopped", err=True)


def address(name: str, text: str, host: str | None, port: int | None) -> tuple[str, int]:
    """``HOST:PORT``, ``[IPv6]:PORT``, and with defaults one of both."""
    before, colon, digits = text.rpartition(":")
    has_port = digits.isascii() and digits.isdecimal() and len(digits) <= 5
    if has_port and (_is_host(before) if colon else host):
        place, number = before or host or "", int(digits)
    # of digits alone the host was forgotten
    elif port is not None and _is_host(text) and not text.isdecimal():
        place, number = text, port or 0
    else:
        raise UserError(f"{name} {text}: accepted {'HOST[:PORT]' if port is not None else '[HOST:]PORT'}")
    if not 0 < number < 65536:
        raise UserError(f"{name} {text}: port {number}; accepted 1 to 65535")
    return place.strip("[]"), number


def _is_host(text: str) -> bool:
    """A name or an address, IPv6 in brackets."""
    if text[:1] == "[" and text[-1:] == "]":
        return text != "[]" and {*text[1:-1]} <= {*"0123456789abcdefABCDEF:."}
    return text != "" and not any(c.isspace() or c in ":[]" for c in text)


def figures(performed: Any, stream: Any, senders: Sequence[Any]) -> dict[str, Any]:
    """Figures of a live run: frames, seconds, delay, and what was lost."""
    from avatargpt.speech.audio import FPS

    return {
        "frames": performed.frames, "seconds": round(performed.frames / FPS, 3),
        "delay_ms": round(1000 * stream.latency), "busiest_ms": round(1000 * performed.busy, 1),
        "lost": sum(s.failed for s in senders), "repaired_samples": stream.repaired,
    }  # fmt: skip


def frames_kept(out: Output) -> int:
    """Frames that are recorded for files at most, 0 = none."""
    from avatargpt.speech.audio import FPS, MAX_SECONDS

    return MAX_SECONDS * FPS if out.paths else 0


def finish(out: Output, motion: Any, sheet: Any, run: dict[str, Any]) -> None:
    """Write the files of a live take and print them with the figures of the run.

    Ctrl-C leaves out pictures that are not drawn yet; then the exit status is 130.

    Args:
        motion: of the files. sheet: a motion for contact sheets, if it is another one.
    """
    # a take cannot be repeated: what is finished is kept
    written: list[str] = []
    if out.paths:
        films = [str(p) for p in out.paths if p.suffix.lower() in DRAWN]
        if films and not out.quiet:
            say(f"drawing {', '.join(films)}: {len(motion)} frames; Ctrl-C leaves that out", err=True)
        with progress("writing", out.quiet):
            drawn = None if sheet is None else [sheet]
            written = write_results(out.paths, [motion], False, out.options, drawn, keep_finished=True)[0]
    if out.as_json:
        print_json({**run, "files": written})
    else:
        say(", ".join(f"{run[name]} {name}" for name in ("frames", "seconds", "lost")), err=True)
        for name in written:
            say(name)
    if missing := [p for p in out.paths if str(p) not in written]:
        say(f"interrupted: {', '.join(map(str, missing))} left out", err=True)
        raise typer.Exit(130)
