"""``avatargpt gesture`` while somebody speaks: frames to browsers and programs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.cli.output import say
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.cli.live_line import LiveLine
    from avatargpt.gesture.live import Live, Sender
    from avatargpt.speech.words import Words


def known_words(transcript: str | None) -> Words | None:
    """Words of sound that has not come yet: times from a file, compared with nothing.

    Raises:
        UserError: a text, which nothing can be laid along.
    """
    from avatargpt.speech.transcripts import parse_transcript

    if transcript is None:
        say("words are off: of live sound they are not known; accepted --transcript FILE with word times", err=True)
        return None
    text, words = parse_transcript(transcript)
    if words is None:
        raise UserError(f"--transcript {' '.join(text.split())[:40]!r}: a text cannot be laid along sound that has not "
                        "come; accepted: a file of word times (.TextGrid, .ctm, .srt, .json)")  # fmt: skip
    for note in words.notes:
        say(f"warning: {note}", err=True)
    return words


def perform(
    folder: Path, line: LiveLine, words: Words | None, interlocutor: Path | None, keep: bool, **options: Any
) -> tuple[Live, dict[str, Any]]:
    """Run until the sound ends, or Ctrl-C.

    Args:
        folder: of the gesture network. words: of the speaker. keep: whether the motion is wanted afterwards.
        options: of `avatargpt.gesture.pipeline.GesturePipeline.stream`.

    Returns:
        What was made, and what is to be told.
    """
    from avatargpt.speech.audio import FPS, MAX_SECONDS, open_sound

    rate = line.heard_at()
    with ExitStack() as stack:
        piped = line.piped(rate)
        senders: list[Sender] = []
        lines: list[str] = []
        if line.websocket is not None:
            from avatargpt.export.websocket import BodySender

            server, lines = line.serve(BodySender, "watch the body")
            stack.callback(server.close)
            senders.append(server)
        import numpy as np  # the sound of a pipe is listened to from here on, while this takes its time
        import torch

        from avatargpt.gesture import live
        from avatargpt.gesture.features import InterlocutorAudio
        from avatargpt.gesture.pipeline import GesturePipeline

        torch.set_num_threads(1)
        performer = GesturePipeline.load(folder)
        other = None if interlocutor is None else open_sound(interlocutor)
        warm = performer.stream(rate, **options | {"semantics": None})
        warm.push(np.zeros(rate // 2, np.float32))  # the first time takes longest
        stream = performer.stream(
            rate, None if words is None else words.words, other is not None,
            None if other is None else other.about.rate, **options,
        )  # fmt: skip
        if words is not None:
            performer.encoder.states([word.text for word in words.words[:1]])
        for message in lines:  # once nothing can be refused any more
            say(message, err=True)
        done = live.Live()
        try:
            live.perform(
                stream, rate, line.sound(rate, piped), senders, InterlocutorAudio(rate, other),
                MAX_SECONDS * FPS if keep else 0, done,
            )  # fmt: skip
        except KeyboardInterrupt:
            say("stopped", err=True)
    return done, {
        "frames": done.frames, "seconds": round(done.frames / FPS, 3), "delay_ms": round(1000 * stream.latency),
        "busiest_ms": round(1000 * done.busy, 1), "lost": sum(s.failed for s in senders),
        "repaired_samples": stream.repaired,
    }  # fmt: skip
