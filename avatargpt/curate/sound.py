"""The stage ``sound``: the sound of a film as a file of its own, and the words spoken in it."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from avatargpt.curate.recipe import SoundOptions
from avatargpt.curate.stages import Rejected, Result, StageTask, Workshop, reason_about
from avatargpt.speech.audio import blocks, inspect, load, resample
from avatargpt.video.sound import write_sound
from vqvae.errors import UserError
from vqvae.io.files import reason

QUIET = 1e-3  # root mean square of samples in [-1, 1], below which a sound is silence
LEAST_SURE = 0.5  # probability of a language, below which it counts as unknown


def check(options: SoundOptions) -> None:
    """Raises UserError where words are wanted and faster-whisper is missing."""
    if options.whisper is not None and find_spec("faster_whisper") is None:
        from avatargpt.speech.transcripts import INSTALL_WHISPER

        raise UserError(f"sound: whisper: faster-whisper is not installed; install it: {INSTALL_WHISPER}")


def sound_of(task: StageTask, shop: Workshop) -> Result:
    """``words`` with times, and the ``language``; the sound beside it, as .wav."""
    import av

    path = shop.path(task, ".wav")
    try:
        if write_sound(Path(task.files["film"]), path) is None:
            raise Rejected("no sound")
    except (av.FFmpegError, EOFError, ValueError) as e:
        raise Rejected(f"the sound cannot be decoded ({reason(e)})") from None
    try:
        level = [float(np.square(block).sum()) for block in blocks(path)]
        about = inspect(path)
    except UserError as e:  # longer than a sound may be, or empty
        raise Rejected(reason_about(path, e)) from None
    if not level or np.sqrt(sum(level) / (about.seconds * about.rate)) < QUIET:
        raise Rejected("silence")
    result: Result = {"seconds": round(about.seconds, 3), "language": "", "words": []}
    options = shop.recipe.sound
    return result if options.whisper is None else result | _words(path, options, shop)


def _words(path: Path, options: SoundOptions, shop: Workshop) -> Result:
    from avatargpt.speech.transcripts import load_whisper, recognise

    samples = resample(*load(path))
    whisper = shop.tool("whisper", lambda: load_whisper(str(options.whisper), options.device))
    if whisper.model.is_multilingual:  # one of English alone takes everything for English
        language, share, _ = whisper.detect_language(samples)
        if share < LEAST_SURE or language != "en":
            return {"language": language if share >= LEAST_SURE else "", "words": []}
    try:
        words = recognise(whisper, samples, "the sound")
    except UserError:  # no speech in it
        return {"language": "", "words": []}
    return {"language": "en", "words": [[w.text, round(w.start, 3), round(w.end, 3)] for w in words.words]}
