"""``WS /v1/realtime``: the server events of a realtime voice agent in, frames of its body out."""
# Sound comes faster than it is spoken and is worked on as it is shown: what an agent does meanwhile is seen soon, and
# what somebody interrupts has not been made. A talk is shown from the moment that its first frame leaves.

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from fastapi import APIRouter, WebSocket
from pydantic import Field, TypeAdapter
from pydantic_core import from_json

from avatargpt.server.errors import Refusal, bad, body, busy, refusal_of
from avatargpt.server.services import Body
from avatargpt.server.stream import EVENTS, Client, Emotion, Start, Studio, Text, parse_message, serve
from avatargpt.server.voices import STANDS, Instruction
from avatargpt.speech.audio import FPS, check_rate
from avatargpt.speech.words import Word
from avatargpt.verbs.speech import MAX_WORDS, read_feelings
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.smoothing import minimum_jerk, smoothstep

AHEAD_SECONDS = 0.5  # by which frames leave before they are shown
LAST_SECONDS = 0.1  # before the end of a talk's frames at which the way to rest leaves
STEP_SECONDS = 0.2  # of sound that is worked on at once
WAITING_SECONDS = 240.0  # of sound that may wait: the longest answer of an agent
MAX_TALKS = 16  # that wait
FACE_FRAMES, REST_FRAMES = 6, 18  # in which a face is neutral, and a body at rest
KEPT = 64  # last frames of a talk that are kept, more than are ahead
CUE_SECONDS = 1.2  # from the last frame to a gesture that is asked for: hands set out before it
PCM, MU_LAW, A_LAW = ("PCM_16", 24_000), ("ULAW", 8_000), ("ALAW", 8_000)  # encoding, samples a second
FORMATS = {"pcm16": PCM, "audio/pcm": PCM, "g711_ulaw": MU_LAW, "audio/pcmu": MU_LAW, "g711_alaw": A_LAW,
           "audio/pcma": A_LAW}  # fmt: skip
router = APIRouter()


@router.websocket("/v1/realtime")
async def realtime(socket: WebSocket) -> None:
    """One agent: its talks, one after the other."""
    await serve(socket, Agent)


class Arguments(Body):
    """Of a function: feelings from now on, in later talks too; an instruction for the face, or a gesture's name."""

    mood: str = Field(default="", max_length=80)
    strength: float = Field(default=1.0, ge=0, le=1)
    text: str = Instruction


ARGUMENTS, TOOLS = TypeAdapter(Arguments), ("set_mood", "make_gesture", "make_expression")


@dataclass(eq=False)
class Talk:
    """An item of a response: its words, and its sound, 16 bit, as far as it has come and is not worked on."""

    response: str
    item: str
    rate: int
    sound: bytearray = field(default_factory=bytearray)
    whole: bool = False  # no more sound will come
    caption: str = ""

    def is_of(self, response: str, item: str = "") -> bool:
        """Whether it belongs to a response and item, as far as these are named."""
        return all(not a or not b or a == b for a, b in ((self.response, response), (self.item, item)))


class Agent(Client):
    """The socket of a voice agent."""

    characters, messages, idle = 1 << 18, 300, 600.0

    def __init__(self, socket: WebSocket, studio: Studio) -> None:
        super().__init__(socket, studio)
        self.asked = Start()
        self.format: tuple[str, int] | None = PCM  # None = one that is not known, whose sound is not heard
        self.talks: deque[Talk] = deque()
        self.shown: Talk | None = None
        self.dropped: deque[str] = deque(maxlen=MAX_TALKS)  # responses that were interrupted
        self.first = self.rows = np.zeros((0, 0), np.float32)  # the first frame of the shown talk, and its last ones
        self.began = -np.inf  # when its frame 0 is shown
        self.news = asyncio.Event()
        self.player = asyncio.create_task(self._play())

    async def close(self) -> None:
        """End what goes on."""
        await self._stop_playing()
        await super().close()

    async def _send(self, row: dict[str, Any], data: bytes | None = None) -> None:
        await asyncio.shield(super()._send(row, data))  # an interruption parts no message from its frames

    async def _event(self, message: str) -> None:
        if self.player.done():
            self.player.result()  # what was wrong
        try:
            event = from_json(message)
            kind = event["type"].replace("output_audio", "audio")  # its new name and its old one
        except (ValueError, TypeError, KeyError, AttributeError):
            raise bad("type: accepted an event, a JSON object with its type", "type") from None
        match kind:
            case "session.created" | "session.updated":
                self.format = None
                self.format = _read_format(event.get("session"))
            case "response.audio.delta":
                self._hear(event)
            case "response.audio_transcript.delta":
                if (talk := self._talk_of(event)) is not None:
                    talk.caption = (talk.caption + _text_of(event, "delta"))[:MAX_WORDS]
            case "response.audio.done":
                self._end_talks(_text_of(event, "response_id"), _text_of(event, "item_id"))
            case "response.done" | "response.cancelled":
                about = response if isinstance(response := event.get("response"), dict) else {}
                name = _text_of(about, "id") or _text_of(event, "response_id")
                if kind == "response.done" and about.get("status") != "cancelled":
                    self._end_talks(name)
                elif any(t.is_of(name) for t in self.talks):
                    await self._interrupt()
            case "input_audio_buffer.speech_started":
                await self._interrupt()
            case "response.function_call_arguments.done" if _text_of(event, "name") in TOOLS:
                await self._call(event["name"], event)
            case "start":
                asked = parse_message(message, EVENTS)
                if self.talks or self.live is None or asked.motion or asked.body not in STANDS or asked.presets:
                    raise bad("start: accepted after ready, between talks, without body, motion and presets", "type")
                await self._stop_playing()
                self.live = None
                try:
                    await self._start(replace(asked, rate=self.rate))
                    self.asked = asked
                finally:
                    self.player = asyncio.create_task(self._play())
        self.news.set()

    def _talk_of(self, event: dict[str, Any]) -> Talk | None:
        """The talk of an event, a new one where it is the first of an item; None where nobody hears it."""
        response, item = _text_of(event, "response_id"), _text_of(event, "item_id")
        if self.format is None or (response or item) in self.dropped:
            return None
        last, rate = self.talks[-1] if self.talks else None, self.format[1]
        is_over = last is not None and last.whole and not (response or item)  # named words may come after their sound
        if last is None or is_over or last.rate != rate or not last.is_of(response, item):
            if len(self.talks) >= MAX_TALKS:
                raise busy(f"{MAX_TALKS} talks wait; accepted again when one has been shown", 1)
            self._end_talks()
            self.talks.append(Talk(response, item, rate))
        return self.talks[-1]

    def _end_talks(self, response: str = "", item: str = "") -> None:
        for talk in self.talks:
            talk.whole = talk.whole or talk.is_of(response, item)

    def _hear(self, event: dict[str, Any]) -> None:
        sound = _decode(_text_of(event, "delta"), self.format or PCM)
        if sum(len(t.sound) / t.rate for t in self.talks) > 2 * WAITING_SECONDS:
            raise busy(f"{WAITING_SECONDS:g} s of sound wait; accepted again when some has been shown", 1)
        if (talk := self._talk_of(event)) is not None:
            talk.sound += sound

    async def _call(self, name: str, event: dict[str, Any]) -> None:
        """A function that the model has called. Its mistakes are told, and not counted as those of the client."""
        try:
            asked = parse_message(_text_of(event, "arguments"), ARGUMENTS)
            if name == "set_mood":
                feeling = f"{asked.mood}:{asked.strength:g}"
                read_feelings(feeling, None)  # refused before it is kept
                self.asked = replace(self.asked, emotion=feeling)
            while self.live is None and not self.player.done():
                await asyncio.sleep(0.01)
            if name == "make_gesture":
                async with self._using:
                    second = self._start_playing().frames / FPS + CUE_SECONDS
                    self._start_playing().cue(asked.text, Word(asked.text, second, second))
            elif name == "set_mood":
                await self._direct(Emotion(type="emotion", emotion=feeling))
            else:
                await self._direct(Text(type="text", text=asked.text))
        except (Refusal, UserError) as e:
            refusal = refusal_of(e, self.server.store.private)
            row = body(refusal.code, f"{name}: {refusal.message}", refusal.where or name)["error"]
            await self._send({"type": "error", **row, "call_id": event.get("call_id")})

    async def _stop_playing(self) -> None:
        self.player.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.player

    async def _play(self) -> None:
        """Show the talks one after the other; each stream is made before its sound comes."""
        while True:
            rate = self.talks[0].rate if self.talks else self.format[1] if self.format else self.rate
            if self.live is None or self.rate != rate:
                self.live = None
                await self._start(replace(self.asked, rate=rate))
            elif self.talks:
                await self._show(self.talks[0])
                self.talks.popleft()
            else:
                self.news.clear()
                await self.news.wait()

    async def _show(self, talk: Talk) -> None:
        self.rows, self.began, self.shown = self.rows[:0], -np.inf, talk
        await self._send({"type": "talk", "response_id": talk.response, "item_id": talk.item})
        while talk.sound or not talk.whole:
            if talk.sound:
                await self._sleep(AHEAD_SECONDS)
                step = STEP_SECONDS if self.samples else self._start_playing().latency  # what the first frame needs
                block = bytes(talk.sound[: 2 * int(talk.rate * step + 1)])
                del talk.sound[: len(block)]
                await super()._sound(block)
            else:
                self.news.clear()
                await self.news.wait()
        await (self._end() if self.samples else self._close_talk())

    async def _sleep(self, ahead: float) -> None:
        """Until no more than these seconds of frames wait to be shown."""
        await asyncio.sleep(max(0.0, self.began + self.frames / FPS - time.monotonic() - ahead))

    async def _sound(self, data: bytes) -> None:
        raise bad("sound: accepted in events, in base64", "sound")

    async def _frames(self, count: int, data: bytes, **about: Any) -> None:
        if count:
            rows = np.frombuffer(data, "<f4").reshape(count, -1)
            self.first = self.first if self.frames else rows[0]
            self.rows = np.concatenate([self.rows, rows] if self.frames else [rows])[-KEPT:]
            self.began = max(self.began, time.monotonic() - self.frames / FPS)  # who ran out of frames waits for these
        await super()._frames(count, data, **about)

    async def _close_talk(self) -> None:
        await self._sleep(LAST_SECONDS)
        await asyncio.shield(self._rest(self.frames))

    async def _rest(self, at: int, **about: Any) -> None:
        """The end of a talk from frame `at` on: the way to rest, and its words."""
        talk, self.shown, self.live = self.shown, None, None
        last = self.rows[max(at - 1 - self.frames + len(self.rows), 0) :][:1]
        row = {"seconds": round(at / FPS, 3), "caption": talk.caption if talk else "", **about}
        self.frames, frames = at, at + REST_FRAMES * len(last)
        if len(last):
            await super()._frames(REST_FRAMES, settle(last[0], self.first).tobytes(), **about)
        await self._send({"type": "done", "frames": frames, **row})

    async def _interrupt(self) -> None:
        """Drop what is not shown yet; the face is neutral at once, and the body comes to rest."""
        if not self.talks:
            return
        self.dropped.extend(name for t in self.talks if (name := t.response or t.item))
        await self._stop_playing()
        self.talks.clear()
        if self.shown is not None:
            at = int(np.clip((time.monotonic() - self.began) * FPS, 0, self.frames))
            await self._send({"type": "interrupted", "frame": at})
            await self._rest(at, interrupted=True)
        self.player = asyncio.create_task(self._play())


def settle(row: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The way from a frame's row (C,) to rest, (`REST_FRAMES`, C) float32; the face is neutral after `FACE_FRAMES`."""
    turns, steps = slice(3, -arkit.COUNT), np.arange(1, REST_FRAMES + 1)[:, None]
    share = minimum_jerk(steps / REST_FRAMES)
    a, b = (np.roll(r[turns].reshape(-1, 4).astype(np.float64), 1, -1) for r in (row, rest))  # w first
    out = row + (rest - row) * share
    out[:, turns] = np.roll(rot.slerp(a, b, share), -1, -1).reshape(REST_FRAMES, -1)
    out[:, turns.stop :] = row[turns.stop :] * (1 - smoothstep(steps / FACE_FRAMES))
    return out.astype("<f4")


def _read_format(session: Any) -> tuple[str, int]:
    """Encoding and rate of the speech of a session. Raises Refusal or UserError for what is not accepted."""
    named = session.get("output_audio_format") if isinstance(session, dict) else None
    with suppress(KeyError, TypeError):
        named = session["audio"]["output"]["format"]
    row = named if isinstance(named, dict) else {"type": named or "pcm16"}
    encoding, usual = FORMATS.get(str(row.get("type")), ("", 0))
    rate = row.get("rate") or usual
    if not encoding or not isinstance(rate, int) or (rate != usual and encoding != PCM[0]):
        raise bad(f"format: {str(named)[:80]}; accepted: {', '.join(FORMATS)}", "format")
    check_rate(rate, 1, "rate")
    return encoding, rate


def _decode(delta: str, form: tuple[str, int]) -> bytes:
    """16 bit little-endian samples. Raises Refusal for no base64, or half a sample."""
    try:
        data = base64.b64decode(delta, validate=True)
        pcm = np.frombuffer(data, "<i2") if form[0] == PCM[0] else None
    except ValueError as e:
        raise bad(f"delta: {e}; accepted samples in base64", "delta") from None
    if pcm is None:
        import soundfile

        about = {"format": "RAW", "subtype": form[0], "samplerate": form[1], "channels": 1, "dtype": "int16"}
        pcm = soundfile.read(io.BytesIO(data), **about)[0].astype("<i2")
    return bytes(pcm.tobytes())


def _text_of(event: dict[str, Any], name: str) -> str:
    """A field of an event, empty where it is missing. Raises Refusal for another kind of value."""
    if not isinstance(value := event.get(name) or "", str):
        raise bad(f"{name}: accepted a text", name)
    return value
