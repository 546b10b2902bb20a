"""The sound of a film, as a file that everything which reads speech takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vqvae.io.files import atomic_write

RATE = 48_000  # samples a second


def write_sound(film: Path, target: Path, start: float = 0.0, seconds: float | None = None) -> Path | None:
    """Write a stretch of a film's sound as .wav, one channel of 16 bits; None where the film has none.

    Args:
        start: second of the film at which the file begins. seconds: its length; None = to the end.
    """
    import av
    import soundfile

    with av.open(str(film.absolute()), metadata_errors="ignore") as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        picture = container.streams.video[0] if container.streams.video else stream
        # both clocks begin where the pictures do
        zero = float((picture.start_time or 0) * (picture.time_base or 0))
        first = round(start * RATE)
        last = None if seconds is None else first + round(seconds * RATE)
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)

        def write(temporary: Path) -> None:
            with soundfile.SoundFile(temporary, "w", RATE, 1, subtype="PCM_16", format="WAV") as out:
                at: int | None = None  # sample of the film that comes next
                done = 0
                try:
                    for frame in container.decode(stream):
                        if at is None:
                            at = round(((frame.time or 0.0) - zero) * RATE)
                            if at > first:  # the sound begins later than the pictures
                                done = min(at, last or at) - first
                                out.write(np.zeros(done, np.int16))
                        for piece in resampler.resample(frame):
                            block = piece.to_ndarray()[0]
                            lead = max(0, first - at)
                            count = len(block) if last is None else max(0, min(len(block), last - at))
                            out.write(block[lead:count])
                            done += max(0, count - lead)
                            at += len(block)
                        if last is not None and at is not None and at >= last:
                            break
                except av.FFmpegError:
                    pass  # what comes before the damage
                if last is not None and done < last - first:
                    out.write(np.zeros(last - first - done, np.int16))

        return atomic_write(target, write)
