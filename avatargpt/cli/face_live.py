"""``avatargpt face`` while somebody speaks: a pipe, a microphone or a file at its own speed, to Unreal or a browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.cli.output import say
from vqvae.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.controls import Controls
    from avatargpt.face.audio_model.live import Live, Sender
    from instruct_data.face.score import Score
    from vqvae.face import FaceMotion

PIPE = Path("-")
HERE = "127.0.0.1"
RATE, SUBJECT = 16_000, "AvatarGPT"  # where nothing else is said


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
        audio: a file, or `PIPE`; None with `microphone`.
        rate: samples a second of pipe and microphone; None: `RATE`.
        live_link, websocket: addresses, see `address`.
        subject: whose face it is there; None: `SUBJECT`.
    """

    audio: Path | None
    microphone: str | None
    rate: int | None
    live_link: str | None
    websocket: str | None
    subject: str | None
    lips: str = "rule"

    def check(self) -> None:
        """Raises UserError for a stdin that is closed, and for options of what is not there."""
        if self.audio == PIPE and sys.stdin is None:
            raise UserError("-: stdin is closed; accepted raw 16 bit mono PCM on it")
        if self.rate is not None and self.audio != PIPE and self.microphone is None:
            raise UserError(f"--rate {self.rate}: accepted with - and --microphone; a file says its own")
        if self.subject is not None and self.live_link is None and self.websocket is None:
            raise UserError(f"--subject {self.subject}: accepted with --live-link and --websocket")

    @property
    def live(self) -> bool:
        """Whether frames are wanted while the sound comes."""
        asked = self.microphone, self.live_link, self.websocket
        return self.audio == PIPE or any(a is not None for a in asked)

    @property
    def file(self) -> Path | None:
        """The sound, where it is a file."""
        return None if self.audio == PIPE else self.audio


def perform(
    folder: Path, line: Line, asked: tuple[str, Score | None], feelings: list[Feeling], controls: Controls, keep: bool,
    seed: int = 0, quiet: bool = False, drawn: Controls | None = None,
) -> tuple[Live, Live, dict[str, Any]]:  # fmt: skip
    """Run until the sound ends or Ctrl-C.

    Args:
        folder: of the driver. asked: an instruction, or empty, and what it means, if that is known.
        keep: whether the clip is wanted afterwards. seed: of blinks and idle life.
        quiet: how the instruction was read is not told.
        drawn: controls of what a contact sheet shows, where they are others.

    Returns:
        What `face.audio_model.live.perform` does, the same frames with the controls `drawn`, and what is to be told.
    """
    import numpy as np
    import torch

    from avatargpt.cli.face_score import row, tell
    from avatargpt.export.face.live_link import PORT, LiveLinkSender
    from avatargpt.face.audio_model import live
    from avatargpt.face.audio_model.blinks import told as told_lids
    from avatargpt.face.audio_model.controls import LiveControls
    from avatargpt.face.audio_model.idle import calm_spans, jaw_spans
    from avatargpt.face.performer import FacePerformer
    from avatargpt.language.face.scores import placed
    from avatargpt.signals.audio import FPS, MAX_SECONDS, blocks, check_rate, inspect

    if controls.smooth:
        raise UserError("--smooth needs the whole clip; accepted without live sound and addresses")
    if (line.audio is None) == (line.microphone is None):
        raise UserError("live: accepted one of AUDIO, - and --microphone NAME")
    rate, subject = (RATE if line.rate is None else line.rate), (SUBJECT if line.subject is None else line.subject)
    check_rate(rate, 1, "--rate")
    to = None if line.live_link is None else address("--live-link", line.live_link, None, PORT)
    at = None if line.websocket is None else address("--websocket", line.websocket, HERE, None)
    torch.set_num_threads(1)
    performer = FacePerformer.load(folder)
    text, score = asked
    reads = bool(text) and score is None
    heard = None if line.file is None else inspect(line.file).seconds
    if reads:
        score = performer.read([text], sound=heard)[0]
    if score is not None and heard is not None:  # as long as the sound, as where it is not live
        score = placed(score, heard, reads and heard < score.length, bool(feelings))
    if reads:
        tell([score], [text], quiet)
    told = performer.direction(score, feelings)
    parts: Iterator[NDArray[Any]]
    if line.microphone is not None:
        parts = live.microphone(line.microphone, rate)
    elif line.file is None:
        parts = live.from_pipe(sys.stdin.buffer)
        if to is not None or at is not None:  # for a file alone it may come as fast as it can
            parts = live.held_back(parts, rate)
    else:
        rate = inspect(line.file).rate
        parts = live.paced(blocks(line.file), rate)
    warm = performer.driver.stream(rate, head=line.lips)
    warm.push(np.zeros(rate // 2, np.float32))  # the first operations take longest
    stream = performer.driver.stream(rate, direction=told, head=line.lips)
    done, sheet = live.Live(), live.Live()
    spans = told_lids(score), calm_spans(score), jaw_spans(score)
    lively = LiveControls(controls, FPS, seed, *spans)
    plain = None if drawn is None else LiveControls(drawn, FPS, seed, *spans)

    def change(frame: FaceMotion) -> FaceMotion:
        if plain is not None:
            shown = plain(frame)
            sheet.kept.append(np.concatenate([shown.weights[0], shown.head[0]]))
        return lively(frame)

    with ExitStack() as stack:
        senders: list[Sender] = []
        if to is not None:
            senders.append(LiveLinkSender(*to, subject))
            say(f"Live Link to {to[0]}:{to[1]} as {subject}", err=True)
        if at is not None:
            from avatargpt.export.face.websocket import WebSocketSender

            senders.append(WebSocketSender(*at, subject))
            say(f"WebSocket on ws://{at[0]}:{at[1]}", err=True)
        for sender in senders:
            stack.callback(sender.close)
        try:
            live.perform(stream, parts, senders, change, MAX_SECONDS * FPS if keep else 0, done)
        except KeyboardInterrupt:
            say("stopped", err=True)
    about = {
        "frames": done.frames, "seconds": round(done.frames / FPS, 3), "delay_ms": round(1000 * stream.latency),
        "busiest_ms": round(1000 * done.busy, 1), "lost": sum(s.failed for s in senders),
        "repaired_samples": stream.repaired, **({} if score is None else {"score": row(score)}),
    }  # fmt: skip
    return done, sheet, about
