"""``avatargpt align``, and what ``face``, ``gesture`` and ``speak`` share: the words of a sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from avatargpt.cli import common
from avatargpt.cli.common import argument, option
from vqvae.errors import UserError
from vqvae.io.files import check_output

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling
    from avatargpt.speech.words import Words
    from avatargpt.verbs.speech import VoiceRequest

NO_ASR, DEFAULT_ASR = "off", "base"
_ASR = "Without --transcript: the Whisper model that transcribes it, or off."
Audio = Annotated[Path | None, argument("[AUDIO]", "Speech: wav, flac, ogg, mp3; - for raw PCM on stdin.")]
Asr = Annotated[str | None, option("--asr MODEL", _ASR)]
FaceSize = Annotated[int | None, option("--size PIXELS", "Films: side of the picture.", min=16, max=2048)]


def check_words(request: VoiceRequest, asr: str | None) -> None:
    """Refuse fields that do not go together, and what is heard beside what is said."""
    request.check()
    if request.transcript is not None and asr is not None:
        raise UserError(f"--asr {asr}: accepted without --transcript, which says the words")


def source_files(audio: Path | None, request: VoiceRequest) -> list[Path]:
    """The files of a request, which are not to be written over."""
    from avatargpt.speech.transcripts import transcript_path

    names = [Path(n) for n in (request.interlocutor, request.start_pose) if n is not None]
    texts = [transcript_path(t) for t in (request.transcript, request.interlocutor_transcript) if t is not None]
    return [path for path in (audio, *names, *texts) if path is not None]


def count_frames(
    advance: common.Progress | None, frames: int, clip: int = 0, clips: int = 1
) -> Callable[[int], None] | None:
    """What is called with the number of frames so far of one of several clips, of a bar; None without one."""
    return None if advance is None else lambda count: advance(clip * frames + min(count, frames), clips * frames)


def check_english(transcript: str) -> None:
    """Refuse a text in another language; files with word times are taken in any."""
    from avatargpt.requests.english import check_spoken
    from avatargpt.speech.transcripts import parse_transcript

    text, times = parse_transcript(transcript)
    if times is None:
        check_spoken(text)


def words_in(
    audio: Path, transcript: str | None, asr: str | None, setup: common.Setup, feelings: Sequence[Feeling] = ()
) -> tuple[Words | None, Sequence[Feeling]]:  # fmt: skip
    """The words of a sound, None where they are off, and feelings with those of its tags. Prints doubts, and why words
    are off."""
    from importlib.util import find_spec

    from avatargpt.avatar.events import read_spoken
    from avatargpt.face.audio_model.driver import Driver
    from avatargpt.speech import transcripts

    folder = None if setup.model is None else setup.model / "driver"
    if folder is not None and not (folder / "driver.json").is_file():
        folder = None
    if transcript is not None:
        with common.progress("aligning", setup.quiet) as advance:
            words, feelings = read_spoken(transcript, audio, Driver.load(folder), feelings, progress=advance)
    elif asr == NO_ASR:
        return None, feelings
    elif asr is None and find_spec("faster_whisper") is None:
        install = transcripts.INSTALL_WHISPER
        common.say(f"{audio}: words are off; they come with --transcript, or from Whisper ({install})", err=True)
        return None, feelings
    else:
        try:
            with common.progress("hearing", setup.quiet) as advance:
                words = transcripts.transcribe(audio, asr or DEFAULT_ASR, Driver.load(folder), progress=advance)
        except UserError as e:
            if asr is not None:
                raise
            common.say(f"{audio}: words are off ({e})", err=True)
            return None, feelings
    for line in words.notes:
        common.warn(line)
    return words, feelings


def read_word_times(transcript: str | None) -> Words | None:
    """Words of sound that has not come yet: times from a file, compared with nothing."""
    from avatargpt.speech.transcripts import parse_transcript

    if transcript is None:
        accepted = "accepted --transcript FILE with word times"
        common.say(f"words are off: of live sound they are not known; {accepted}", err=True)
        return None
    text, words = parse_transcript(transcript)
    if words is None:
        raise UserError(f"--transcript {' '.join(text.split())[:40]!r}: a text cannot be laid along sound that has not "
                        "come; accepted: a file of word times (.TextGrid, .ctm, .srt, .json)")  # fmt: skip
    for line in words.notes:
        common.warn(line)
    return words


def name_of(path: Path) -> str:
    """A file's name as text, whatever bytes it is made of."""
    return path.stem.encode(errors="replace").decode()


_TRANSCRIPT = "What is said, in English: a text, or a file of it (.txt, also as @FILE; .srt, .TextGrid, .json ...)."
_ALIGN_ASR = "Without TRANSCRIPT: a Whisper model that hears it, a size (base, small) or a folder."
_ALIGNER = "auto, pocketsphinx or network; auto: the first, if installed."


def align(
    audio: Annotated[Path, argument("AUDIO", "A sound file: .wav, .flac, .mp3 and others.")],
    transcript: Annotated[str | None, argument("[TRANSCRIPT]", _TRANSCRIPT)] = None,
    named: Annotated[str | None, option("--transcript TEXT|FILE", "The same, as other commands take it.")] = None,
    asr: Annotated[str | None, option("--asr MODEL", _ALIGN_ASR)] = None,
    aligner: Annotated[str, option("--aligner NAME", _ALIGNER)] = "auto",
    output: common.AnyOutputs = None,
    *,
    setup: common.VoiceSetup,
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
    if transcript is not None and named is not None:
        raise UserError(f"--transcript {named[:40]}: beside {transcript[:40]!r}; accepted once")
    transcript = named if transcript is None else transcript
    if (transcript is None) == (asr is None):
        raise UserError("what is said is needed: accepted TRANSCRIPT, or --asr MODEL in its place")
    targets = output or []
    common.check_different(targets)
    for path in targets:
        word_files.check_target(path)
        check_output(path)
        common.check_not_source(path, [audio, *([] if transcript is None else [Path(transcript.removeprefix("@"))])])
    inspect(audio)
    text, times = ("", None) if transcript is None else transcripts.parse_transcript(transcript)
    check_model(setup.model)
    if transcript is not None:
        check_english(transcript)
    if setup.threads is not None:
        torch.set_num_threads(setup.threads)
    from avatargpt.face.audio_model.driver import Driver

    driver = Driver.load((setup.model or resources.weights()) / "driver")
    with common.progress("aligning", setup.quiet) as advance:
        if asr is None:
            words = alignment.align(
                audio, text, driver, aligner=name, progress=advance, near=times, slack=transcripts.SUBTITLE_SLACK
            )
        else:
            device = setup.device or "cpu"
            words = transcripts.transcribe(audio, asr, driver, aligner=name, device=device, progress=advance)
    for line in words.notes:
        common.warn(line)
    for path in targets:
        word_files.write(words, path)
    if setup.as_json:
        common.print_json({**words.as_dict(), "files": [str(path) for path in targets]})
        return
    for path in targets:
        common.say(path)
    for word in () if targets else words.words:
        common.say(f"{word.start:.3f}\t{word.end:.3f}\t{word.text}")
    common.say(f"times: {words.source}", err=True)
