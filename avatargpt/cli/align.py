"""``avatargpt align``: when the words of a recording are spoken."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from avatargpt.cli import common
from avatargpt.cli.common import (
    argument,
    check_different,
    check_folder,
    check_not_source,
    option,
    print_json,
    progress,
    say,
    warn,
)
from vqvae.errors import UserError

_TRANSCRIPT = "What is said, in English: a text, or a file of it (.txt, also as @FILE; .srt, .TextGrid, .json ...)."
_ASR = "Without TRANSCRIPT: a Whisper model that hears it, a size (base, small) or a folder."
_ALIGNER = "auto, pocketsphinx or network; auto: the first, if installed."


def align(
    audio: Annotated[Path, argument("AUDIO", "A sound file: .wav, .flac, .mp3 and others.")],
    transcript: Annotated[str | None, argument("[TRANSCRIPT]", _TRANSCRIPT)] = None,
    asr: Annotated[str | None, option("--asr MODEL", _ASR)] = None,
    aligner: Annotated[str, option("--aligner NAME", _ALIGNER)] = "auto",
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
    from avatargpt.speech import alignment, transcripts, word_files
    from avatargpt.speech.audio import inspect

    name = next((n for n in alignment.ALIGNERS if n == aligner), None)
    if name is None:
        raise UserError(f"--aligner {aligner}: accepted {', '.join(alignment.ALIGNERS)}")
    if (transcript is None) == (asr is None):
        raise UserError("what is said is needed: accepted TRANSCRIPT, or --asr MODEL in its place")
    targets = output or []
    check_different(targets)
    for path in targets:
        word_files.check_target(path)
        check_folder(path)
        check_not_source(path, [audio, *([Path(transcript.removeprefix("@"))] if transcript is not None else [])])
    inspect(audio)
    text, times = ("", None) if transcript is None else transcripts.parse_transcript(transcript)
    check_model(model)
    if threads is not None:
        torch.set_num_threads(threads)
    from avatargpt.face.audio_model.driver import Driver

    driver = Driver.load((model or resources.weights()) / "driver")
    with progress("aligning", quiet) as advance:
        if asr is None:
            words = alignment.align(
                audio, text, driver, aligner=name, progress=advance, near=times, slack=transcripts.SUBTITLE_SLACK
            )
        else:
            words = transcripts.transcribe(
                audio, asr, driver, aligner=name, device=device or "cpu", progress=advance
            )
    for line in words.notes:
        warn(line)
    for path in targets:
        word_files.write(words, path)
    if as_json:
        print_json({**words.as_dict(), "files": [str(path) for path in targets]})
        return
    for path in targets:
        say(path)
    for word in () if targets else words.words:
        say(f"{word.start:.3f}\t{word.end:.3f}\t{word.text}")
    say(f"times: {words.source}", err=True)
