"""flite through its command line: a second tool for building training data, never needed to run the model.

Its voices are built from recordings of people (CMU Arctic: awb, rms, slt; diphones: kal16), so their sounds are
nearer to a person's than rules can make them, and it says when each phone ends. Debian: ``apt install flite``.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from avatargpt.speech.audio import load
from avatargpt.speech.phones import Phone, from_arpabet
from vqvae.errors import UserError

VOICES = ("awb", "rms", "slt", "kal16")
_FURTHER = {"ax": "AH", "axr": "ER", "ix": "IH", "el": "L", "em": "M", "en": "N", "dx": "D", "pau": "SIL", "h#": "SIL"}
_SECONDS = 60  # one sentence takes a fraction of a second


class Flite:
    """Speaks a text and says when each phone begins and ends.

    Raises:
        UserError: the program is not installed.
    """

    def __init__(self) -> None:
        found = shutil.which("flite")
        if found is None:
            raise UserError("flite is not installed; building data with its voices needs it: apt install flite")
        self._program = found

    def speak(
        self, text: str, voice: str, stretch: float = 1.0, pitch: float | None = None
    ) -> tuple[np.ndarray, int, list[Phone]]:
        """Sound (n,) float32, its rate, and its phones.

        Args:
            voice: one of `VOICES`.
            stretch: how much longer phones last.
            pitch: mean fundamental frequency, Hz; None is the voice's own.

        Raises:
            UserError: no such voice, or the program fails.
        """
        if voice not in VOICES:
            raise UserError(f"flite: voice {voice!r}; accepted: {', '.join(VOICES)}")
        with tempfile.TemporaryDirectory() as folder:
            wave = Path(folder) / "said.wav"
            asked = ["--setf", f"duration_stretch={stretch:.3f}"]
            if pitch is not None:
                asked += ["--setf", f"int_f0_target_mean={pitch:.1f}"]
            command = [self._program, "-voice", voice, *asked, "-psdur", "-t", text, "-o", str(wave)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            if done.returncode != 0 or not wave.is_file():
                raise UserError(f"flite does not speak {text[:40]!r}: {done.stderr.strip() or 'no sound'}")
            audio, rate = load(wave)
        return audio, rate, phones_of(done.stdout)


def phones_of(said: str) -> list[Phone]:
    """``pau:0.220 dh:0.254 ..`` (each phone with the second at which it ends) -> phones.

    Raises:
        UserError: something else than such pairs.
    """
    out: list[Phone] = []
    now = 0.0
    for pair in said.split():
        name, _, end = pair.rpartition(":")
        phone = _FURTHER.get(name) or from_arpabet(name)
        try:
            seconds = float(end)
        except ValueError:
            seconds = -1.0
        if phone is None or seconds < now - 1e-3:
            raise UserError(f"flite: {pair!r} is no phone with the second at which it ends")
        if seconds > now:
            out.append(Phone(phone, now, seconds))
        now = seconds
    return out
