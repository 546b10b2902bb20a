"""``avatargpt align``: when the words of a recording are spoken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say
from vqvae.errors import UserError


def align(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="A sound file: .wav, .flac, .mp3 and others.")],
    transcript: Annotated[
        str | None,
        typer.Argument(
            metavar="[TRANSCRIPT]",
            help="What is said, in English: a text, or a file of it (.txt, also as @FILE; .srt, .TextGrid, .json ...).",
        ),
    ] = None,
    asr: Annotated[
        str | None,
        typer.Option(
            "--asr", metavar="MODEL",
            help="Without TRANSCRIPT: a Whisper model that hears it, a size (base, small) or a folder.",
        ),
    ] = None,
    aligner: Annotated[
        str,
        typer.Option("--aligner", metavar="NAME", help="auto, pocketsphinx or network; auto: the first, if installed."),
    ] = "auto",
    output: common.AnyOutputs = None,
    model: common.Model = None,
    device: common.Device = None,
    threads: common.Threads = None,
    as_json: common.Json = False,
    quiet: common.Quiet = False,
) -> None:
    """When each word of a recording is spoken, with phones and stresses.

    Outputs: .TextGrid, .json, .ctm, .srt, .vtt. Without one: start, end and word, a line each.
    """
    import torch

    from avatargpt import resources
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.speech import word_files
    from avatargpt.speech.alignment import ALIGNERS
    from avatargpt.speech.alignment import align as aligned
    from avatargpt.speech.audio import inspect
    from avatargpt.speech.transcripts import SUBTITLE_SLACK, parse_transcript

    who = next((name for name in ALIGNERS if name == aligner), None)
    if who is None:
        raise UserError(f"--aligner {aligner}: accepted {', '.join(ALIGNERS)}")
    if (transcript is None) == (asr is None):
        raise UserError("what is said is needed: accepted TRANSCRIPT, or --asr MODEL in its place")
    targets = output or []
    if len({p.resolve() for p in targets}) < len(targets):
        raise UserError(f"-o {targets[-1]}: the same output file is named twice")
    sources = [audio, *([Path(transcript.removeprefix("@"))] if transcript is not None else [])]
    for path in targets:
        word_files.check_target(path)
        common.check_folder(path)
        if any(path.resolve() == source.resolve() for source in sources):
            raise UserError(f"{path}: input and output are the same file; choose another output")
    inspect(audio)
    text, near = ("", None) if transcript is None else parse_transcript(transcript)
    check_model(model)
    if threads is not None:
        torch.set_num_threads(threads)
    from avatargpt.face.audio_model.driver import Driver

    driver = Driver.load((model or resources.weights()) / "driver")
    with common.progress("aligning", quiet) as progress:
        if asr is None:
            words = aligned(audio, text, driver, aligner=who, progress=progress, near=near, slack=SUBTITLE_SLACK)
        else:
            from avatargpt.speech.transcripts import transcribe

            words = transcribe(audio, asr, driver, aligner=who, device=device or "cpu", progress=progress)
    for note in words.notes:
        say(f"warning: {note}", err=True)
    for path in targets:
        word_files.write(words, path)
    if as_json:
        common.print_json({**words.as_dict(), "files": [str(path) for path in targets]})
    elif targets:
        for path in targets:
            say(path)
    else:
        for word in words.words:
            say(f"{word.start:.3f}\t{word.end:.3f}\t{word.text}")
    if not as_json:
        say(f"times: {words.source}", err=True)
