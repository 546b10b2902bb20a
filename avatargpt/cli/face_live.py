"""``avatargpt face`` while somebody speaks, or while nobody does: to Unreal, avatar programs or a browser."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.cli.output import say
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.cli.face_line import Line
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.face.audio_model.controls import Controls
    from avatargpt.face.live import LiveTake
    from avatargpt.face.pipeline import FacePipeline
    from instruct_data.face.score import Score
    from vqvae.face import FaceMotion

WARM = "smile"  # what is read and acted once before the first frame: the first time takes longest


def perform(
    folder: Path, line: Line, asked: tuple[str, Score | None], feelings: list[Feeling], controls: Controls, keep: bool,
    seed: int = 0, quiet: bool = False, drawn: Controls | None = None,
) -> tuple[LiveTake, LiveTake, dict[str, Any]]:  # fmt: skip
    """Run until the sound ends, what was told is done where nobody speaks, or Ctrl-C.

    Args:
        folder: of the driver. asked: an instruction, or empty, and what it means, if that is known.
        keep: whether the clip is wanted afterwards. seed: of blinks and idle life.
        quiet: how the instruction was read is not told.
        drawn: controls of what a contact sheet shows, where they are others.

    Returns:
        What `face.live.run_live` does, the same frames with the controls `drawn`, and what is to be told.
    """
    from avatargpt.face.live import CommandQueue
    from avatargpt.speech.audio import FPS, MAX_SECONDS

    if controls.smooth:
        raise UserError("--smooth needs the whole clip; accepted without live sound and addresses")
    acts = asked != ("", None) or bool(feelings) or line.websocket is not None
    if (line.audio is not None and line.microphone is not None) or (line.silent and not acts):
        more = "without sound --text, --score, --emotion or --websocket"
        raise UserError(f"live: accepted one of AUDIO, - and --microphone NAME; {more}")
    rate = line.heard_at()
    commands = CommandQueue()  # also for clients that connect while weights are loaded
    with ExitStack() as stack:
        piped = line.piped(rate)
        senders, lines = line.open(stack, commands.put)
        import numpy as np  # the sound of a pipe is listened to from here on, while this takes its time
        import torch

        from avatargpt.face import live
        from avatargpt.face.audio_model.controls import LiveControls
        from avatargpt.face.audio_model.idle import calm_spans, jaw_spans
        from avatargpt.face.audio_model.idle import lid_spans as told_lids
        from avatargpt.face.pipeline import FacePipeline

        torch.set_num_threads(1)
        performer = FacePipeline.load(folder)
        score, seconds = _told(performer, line, asked, feelings, quiet)
        told = warm = performer.direction(score, feelings)
        if line.websocket is not None:
            warm = performer.direction(performer.read([WARM])[0], feelings)
        performer.driver.stream(rate, direction=warm, head=line.lips).push(np.zeros(rate // 2, np.float32))
        stream = performer.driver.stream(rate, direction=told, head=line.lips)
        done, sheet = live.LiveTake(), live.LiveTake()
        spans = told_lids(score), calm_spans(score), jaw_spans(score)
        lively = LiveControls(controls, FPS, seed, *spans)
        plain = None if drawn is None else LiveControls(drawn, FPS, seed, *spans)

        def change(frame: FaceMotion) -> FaceMotion:
            if plain is not None:
                shown = plain(frame)
                sheet.recording.append(np.concatenate([shown.weights[0], shown.head[0]]))
            return lively(frame)

        both = [lively] if plain is None else [lively, plain]
        following = live.CommandReader(commands, performer, stream, told, both, _shown)
        for told_line in lines:  # once nothing can be refused any more
            say(told_line, err=True)
        try:
            live.run_live(
                stream, line.sound(rate, piped, seconds), senders, change, MAX_SECONDS * FPS if keep else 0, done,
                following.apply,
            )  # fmt: skip
        except KeyboardInterrupt:
            say("stopped", err=True)
    about = {
        "frames": done.frames, "seconds": round(done.frames / FPS, 3), "delay_ms": round(1000 * stream.latency),
        "busiest_ms": round(1000 * done.busy, 1), "lost": sum(s.failed for s in senders),
        "repaired_samples": stream.repaired, **({} if score is None else _row(score)),
    }  # fmt: skip
    return done, sheet, about


def _told(
    performer: FacePipeline, line: Line, asked: tuple[str, Score | None], feelings: list[Feeling], quiet: bool
) -> tuple[Score | None, float | None]:
    """What is asked for, as long as sound or clip where that is known, and the seconds of a clip without sound."""
    from avatargpt.cli.face_score import tell
    from avatargpt.face.instructions.scores import place_score
    from avatargpt.speech.audio import inspect

    text, score = asked
    reads = bool(text) and score is None
    length = line.seconds if line.file is None else inspect(line.file).seconds
    if reads:
        score = performer.read([text], [line.seconds], length if line.file is not None else None)[0]
    if line.silent and length is None:
        length = performer.default_seconds(score, feelings)
    if score is not None and length is not None:  # as where it is not live
        spreads = reads and (length < score.length or line.seconds is not None)
        score = place_score(score, length, spreads, bool(feelings))
    if reads:
        tell([score], [text], quiet, performer.doubt)
    endless = line.seconds is None and line.websocket is not None
    return score, None if endless else length


def _shown(score: Score) -> dict[str, Any]:
    """What an answer to a WebSocket client says of an instruction."""
    from avatargpt.cli.face_score import told

    return {"read_as": told(score), **_row(score)}


def _row(score: Score) -> dict[str, Any]:
    from avatargpt.cli.face_score import row

    return {"score": row(score)}
