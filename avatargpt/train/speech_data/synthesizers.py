"""Speech synthesizers with phone times, espeak-ng and flite: tools for building training data only."""

from __future__ import annotations

import ctypes as c
import ctypes.util
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.speech.audio import load
from avatargpt.speech.phones import Phone, from_arpabet, from_ipa
from vqvae.errors import UserError

_SYNCHRONOUS, _PHONEME_EVENTS, _IPA, _NO_EXIT = 2, 1, 2, 0x8000
_PHONEME = 7
_RATE, _PITCH, _RANGE = 1, 3, 4  # parameter numbers of speak_lib.h
_UTF8 = 1
_STOPS = frozenset("P T K B D G CH JH".split())
_SHORTEST = 0.03  # s of a phone that espeak folds into the vowel before it
VOICES = ("awb", "rms", "slt", "kal16")
_FURTHER = {"ax": "AH", "axr": "ER", "ix": "IH", "el": "L", "em": "M", "en": "N", "dx": "D", "pau": "SIL", "h#": "SIL"}
_SECONDS = 60  # one sentence takes a fraction of a second


class _Id(c.Union):
    _fields_ = [("number", c.c_int), ("name", c.c_char_p), ("string", c.c_char * 8)]


class _Event(c.Structure):
    _fields_ = [
        ("type", c.c_int), ("unique", c.c_uint), ("text", c.c_int), ("length", c.c_int), ("time", c.c_int),
        ("sample", c.c_int), ("user", c.c_void_p), ("id", _Id),
    ]  # fmt: skip


class Espeak:
    """espeak-ng through its shared library: speech with the start of each phone. Debian: ``apt install espeak-ng``.

    One instance per process: the library keeps global state. It is a separate GPL program; only its sounds are used.
    """

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self._lib: Any = c.CDLL(name)
        except OSError:
            raise UserError("libespeak-ng is not installed; building data needs it: apt install espeak-ng") from None
        self.rate = int(self._lib.espeak_Initialize(_SYNCHRONOUS, 0, None, _PHONEME_EVENTS | _IPA | _NO_EXIT))
        if self.rate <= 0:
            raise UserError("libespeak-ng does not start: its voices are missing; install the package espeak-ng-data")
        self._audio: list[np.ndarray] = []
        self._events: list[tuple[float, bytes]] = []
        kind = c.CFUNCTYPE(c.c_int, c.POINTER(c.c_short), c.c_int, c.POINTER(_Event))
        self._callback = kind(self._receive)  # a reference, because the library calls it later
        self._lib.espeak_SetSynthCallback(self._callback)

    def _receive(self, wave: Any, samples: int, events: Any) -> int:
        if samples > 0 and wave:
            self._audio.append(np.ctypeslib.as_array(wave, (samples,)).copy())
        i = 0
        while events[i].type != 0:
            if events[i].type == _PHONEME:
                self._events.append((events[i].time / 1000, bytes(events[i].id.string)))
            i += 1
        return 0

    def speak(
        self, text: str, voice: str, speed: int = 175, pitch: int = 50, span: int = 50
    ) -> tuple[np.ndarray, list[Phone]]:
        """Sound (n,) float32 at `rate` and its phones.

        Args:
            voice: of espeak-ng, e.g. ``en-us+f3``. speed: words a minute. pitch, span: 0 to 99.
        """
        self._audio, self._events = [], []
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak-ng has no voice {voice!r}; `espeak-ng --voices` lists them")
        for parameter, value in ((_RATE, speed), (_PITCH, pitch), (_RANGE, span)):
            self._lib.espeak_SetParameter(parameter, int(value), 0)
        data = text.encode()
        self._lib.espeak_Synth(data, len(data) + 1, 0, 1, 0, _UTF8, None, None)
        self._lib.espeak_Synchronize()
        if not self._audio:
            return np.zeros(0, np.float32), []
        audio = np.concatenate(self._audio).astype(np.float32) / 32768
        names, edges = _phones(self._events, len(audio) / self.rate)
        return audio, _close_stops(names, edges, audio, self.rate)

    def pronounce(self, text: str, voice: str = "en-us") -> tuple[str, ...]:
        """The phones of a text, SIL where it pauses."""
        return tuple(p.name for p in self.speak(text, voice)[1])


def _phones(events: list[tuple[float, bytes]], seconds: float) -> tuple[list[str], np.ndarray]:
    # Start events -> n names and n + 1 edges in seconds; phones without a length take it from the previous one.
    names: list[str] = []
    starts: list[float] = []
    for time, raw in events:
        phone = from_ipa(raw.split(b"\0")[0].decode("utf-8", "ignore"))
        if phone is not None:
            names.append(phone)
            starts.append(time)
    edges = np.array([*starts, max(seconds, starts[-1] if starts else 0.0)])
    for i in range(len(names) - 1, 0, -1):  # from the end: a run of empty phones shares the preceding vowel
        short = names[i] != "SIL" and edges[i + 1] - edges[i] < _SHORTEST
        if short and edges[i] - edges[i - 1] > _SHORTEST:
            edges[i] = max(edges[i + 1] - _SHORTEST, (edges[i - 1] + edges[i]) / 2)
    return names, edges


def _close_stops(names: list[str], edges: np.ndarray, audio: np.ndarray, rate: int) -> list[Phone]:
    # Move the start of stops from the burst, where espeak reports it, back over the silence of their closure.
    hop = rate // 200
    level = np.sqrt((audio[: len(audio) // hop * hop].reshape(-1, hop) ** 2).mean(1))
    quiet = level < 0.06 * np.sqrt(np.mean(audio**2))
    for i in range(1, len(names)):
        if names[i] not in _STOPS:
            continue
        first = min(int(round(edges[i] * 200)), len(quiet))
        back = 0
        while back < 18 and first - back - 1 >= 0 and quiet[first - back - 1]:
            back += 1
        room = edges[i] - edges[i - 1] - (0.0 if names[i - 1] == "SIL" else 0.025)
        edges[i] -= max(0.0, min(back / 200, room, 0.07 if names[i - 1] == "SIL" else 1.0))
    pairs = zip(names, edges[:-1], edges[1:], strict=True)
    return [Phone(name, float(a), float(b)) for name, a, b in pairs if b > a]


class Flite:
    """flite through its command line: speech with the end of each phone. Debian: ``apt install flite``.

    Its voices are built from recordings of people (CMU Arctic: awb, rms, slt; diphones: kal16).
    """

    def __init__(self) -> None:
        program = shutil.which("flite")
        if program is None:
            raise UserError("flite is not installed; building data with its voices needs it: apt install flite")
        self._program = program

    def speak(
        self, text: str, voice: str, stretch: float = 1.0, pitch: float | None = None
    ) -> tuple[np.ndarray, int, list[Phone]]:
        """Sound (n,) float32, its rate, and its phones.

        Args:
            voice: one of `VOICES`. stretch: factor for durations. pitch: mean, Hz; None is the voice's own.
        """
        if voice not in VOICES:
            raise UserError(f"flite: voice {voice!r}; accepted: {', '.join(VOICES)}")
        with tempfile.TemporaryDirectory() as folder:
            wave = Path(folder) / "speech.wav"
            settings = ["--setf", f"duration_stretch={stretch:.3f}"]
            if pitch is not None:
                settings += ["--setf", f"int_f0_target_mean={pitch:.1f}"]
            command = [self._program, "-voice", voice, *settings, "-psdur", "-t", text, "-o", str(wave)]
            result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
            if result.returncode != 0 or not wave.is_file():
                raise UserError(f"flite does not speak {text[:40]!r}: {result.stderr.strip() or 'no sound'}")
            audio, rate = load(wave)
        return audio, rate, phones_of(result.stdout)


def phones_of(output: str) -> list[Phone]:
    """``pau:0.220 dh:0.254 ..`` (each phone with the second at which it ends) -> phones."""
    out: list[Phone] = []
    now = 0.0
    for pair in output.split():
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
