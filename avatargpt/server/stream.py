"""``WS /v1/stream``: sound in, face, hands and body out on the sound's clock; long motion out as it is made."""
# Text messages are JSON with a `type`; binary ones are sound. Frames come as a text message that says what they are,
# followed by one binary message of float32 rows as in `.frames`.

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, FastAPI, WebSocket
from pydantic import Field, TypeAdapter, ValidationError
from starlette.websockets import WebSocketDisconnect

from avatargpt.export.expressions import MOODS, NEUTRAL, PRESETS, HeldPresets, PresetMixer
from avatargpt.export.face_names import read_preset
from avatargpt.options import check_text
from avatargpt.server.core import Server, server_of
from avatargpt.server.errors import Refusal, bad, body, busy, refusal_of
from avatargpt.server.frames import columns, frame_rows
from avatargpt.server.long_motion import FPS as LONG_FPS
from avatargpt.server.long_motion import chunks, step_json
from avatargpt.server.services import Body, body_of, check_json
from avatargpt.server.voices import Instruction, body_under, words_of_body
from avatargpt.speech.audio import FPS, RATE, check_rate
from avatargpt.speech.words import Word as SpokenWord
from avatargpt.verbs.plan import LongRequest
from avatargpt.verbs.request import request, resolve_sources
from avatargpt.verbs.speech import Sound, SpeakRequest, read_feelings
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22, SMPL52

if TYPE_CHECKING:
    from avatargpt.avatar.pipeline import AvatarPipeline, AvatarStream
    from avatargpt.export.avatar import AvatarMotion
    from avatargpt.face.audio_model.conditioning import Feeling
    from instruct_data.face.score import Score

MAX_STREAMS = 32  # sockets at once
THREADS = 2  # threads for frames; each network call is too small to be shared
IDLE_SECONDS = 60.0  # without a message, after which a socket is closed
SEND_SECONDS = 20.0  # in which a client takes a message
MAX_MISTAKES, MAX_EVENTS = 20, 200  # of one client; text messages that wait
MAX_CHARACTERS = 1 << 17  # of a text message
WAITING_SECONDS = 30.0  # of sound that may wait
BLOCK_SECONDS = 0.5  # of sound that is worked on at once
AHEAD_SECONDS = 3.0  # of long motion that a client has not acknowledged
PIECE = 20  # frames of long motion in a message, at most
MAX_WORDS = 1000  # of a message
MAX_DIRECTIONS = 4  # instructions of a client that are being read
TRY_LATER, POLICY, DEFECT = 1013, 1008, 1011  # close codes


RECORDED = ("sound", "transcript", "interlocutor", "interlocutor_transcript")  # what goes with a whole sound


@request
class Start(SpeakRequest):
    """Sound follows, of a talk as `speak` takes it."""

    sound: Sound = Field(default=None, description="Comes in messages.")
    rate: int = Field(default=RATE, description="Samples a second, 16 bit mono.")
    words: bool = Field(default=False, description="Whether words with their times will come.")
    presets: bool = Field(default=False, description="Whether rows end with the weights of VRM's presets.")
    type: Literal["start"] = "start"


class Text(Body):
    """Another instruction from now on; empty ends the one before."""

    type: Literal["text"]
    text: str = Instruction


class Emotion(Body):
    """Other feelings from now on."""

    type: Literal["emotion"]
    emotion: str = Field(min_length=1, max_length=400)


class Preset(Body):
    """A preset of VRM from now on: a mood, or lids or a vowel held on top of what the face does; 0 ends it."""

    type: Literal["preset"]
    preset: str = Field(min_length=1, max_length=40)
    weight: float = Field(default=1.0, ge=0, le=1)


class Word(Body):
    """A word and its time in the sound, seconds."""

    text: str = Field(min_length=1, max_length=80)
    start: float = Field(ge=0)
    end: float = Field(ge=0)


class Words(Body):
    """Words of the sound, in order, before their frames are made."""

    type: Literal["words"]
    words: list[Word] = Field(min_length=1, max_length=MAX_WORDS)


class End(Body):
    """The sound is over."""

    type: Literal["end"]


@request
class Long(LongRequest):
    """Long motion is to be made."""

    type: Literal["long"] = "long"


class Ack(Body):
    """Frames of long motion that have arrived."""

    type: Literal["ack"]
    frame: int = Field(ge=0)  # all before it


class Stop(Body):
    """Long motion is to end."""

    type: Literal["stop"]


Event = Start | Text | Emotion | Preset | Words | End | Long | Ack | Stop
EVENTS: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


class Studio:
    """What all streams of a server share: threads, and networks of their own beside the model's thread."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.threads = ThreadPoolExecutor(THREADS, "stream", _one_thread)
        self.reader = ThreadPoolExecutor(1, "instructions", _one_thread)
        self.loading = asyncio.Lock()
        self.open = 0
        self._pipeline: AvatarPipeline | None = None

    async def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Work on frames, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, function, *args)

    async def read(self, function: Callable[..., Any], *args: Any) -> Any:
        """Work on instructions, one after the other, while frames go on."""
        return await asyncio.get_running_loop().run_in_executor(self.reader, function, *args)

    async def pipeline(self) -> AvatarPipeline:
        """Loaded with the first stream."""
        async with self.loading:
            if self._pipeline is None:
                source = await self.server.wait_for("stream", lambda report: self.server.model.source)
                self._pipeline = await self.read(_load_pipeline, source or None)
            return self._pipeline


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _load_pipeline(folder: str | None) -> AvatarPipeline:
    """The networks, used once: the first time takes longest."""
    from avatargpt.avatar.pipeline import AvatarPipeline

    pipeline = AvatarPipeline.load(folder)
    pipeline.stream(text="smile").push(np.zeros(RATE, np.int16))
    return pipeline


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Threads of an application's streams."""
    app.state.studio = studio = Studio(app.state.server)
    try:
        yield
    finally:
        studio.threads.shutdown(wait=False, cancel_futures=True)
        studio.reader.shutdown(wait=False, cancel_futures=True)


router = APIRouter(lifespan=lifespan)


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """One client: a live avatar, or long motion, one after the other."""
    await serve(socket, Client)


async def serve(socket: WebSocket, kind: type[Client]) -> None:
    """A client of that kind until it leaves, is idle, or is refused because too many are open."""
    studio: Studio = socket.app.state.studio
    await socket.accept()
    if studio.open >= MAX_STREAMS:
        await socket.close(TRY_LATER, f"{MAX_STREAMS} streams are open")
        return
    studio.open += 1
    client = kind(socket, studio)
    try:
        await client.listen()
    except (WebSocketDisconnect, RuntimeError):  # RuntimeError: it left while something was sent
        pass
    except TimeoutError:
        with suppress(RuntimeError):
            await socket.close(POLICY, "idle")
    finally:
        studio.open -= 1
        await client.close()


class Client:
    """A socket and what it does; `characters`, `messages` and `idle` seconds bound what it sends."""

    characters, messages, idle = MAX_CHARACTERS, MAX_EVENTS, IDLE_SECONDS

    def __init__(self, socket: WebSocket, studio: Studio) -> None:
        self.socket, self.studio, self.server = socket, studio, server_of(socket)
        self.live: AvatarStream | None = None
        self.samples = self.frames = 0
        self.rate, self.with_words = 16_000, False
        self.held = HeldPresets()
        self.mixer: PresetMixer | None = None  # of rows with presets
        self.long: asyncio.Task[None] | None = None
        self.acked, self.room = 0, asyncio.Event()
        self.mistakes = 0
        self._sending, self._using = asyncio.Lock(), asyncio.Lock()  # one message; one user of the avatar
        self._waiting: deque[str | bytearray] = deque()
        self._come = asyncio.Event()
        self._directions: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Messages of the client until it leaves. They are taken as they come, so that what keeps a socket alive is
        heard, and done in order."""
        receiving = asyncio.create_task(self._receive())
        try:
            while (item := await self._next(receiving)) is not None:
                try:
                    await (self._event(item) if isinstance(item, str) else self._sound(bytes(item)))
                except (Refusal, UserError) as e:
                    await self._send_refusal(e)
                    if self.mistakes >= MAX_MISTAKES:
                        await self.socket.close(POLICY, f"{MAX_MISTAKES} mistakes")
                        return
                except (WebSocketDisconnect, RuntimeError, TimeoutError):
                    raise
                except Exception as e:  # a defect, which the log names
                    await self._send_refusal(e)
                    await self.socket.close(DEFECT)
                    return
        finally:
            receiving.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await receiving

    async def _receive(self) -> None:
        """Take messages; sound that follows sound becomes one with it. Raises TimeoutError for a silent client."""
        while True:
            making = self.long is not None and not self.long.done()
            message = await asyncio.wait_for(self.socket.receive(), None if making else self.idle)
            if message["type"] == "websocket.disconnect":
                return
            data, text = message.get("bytes"), message.get("text")
            if text is not None:
                if len(self._waiting) >= self.messages or len(text) > self.characters:
                    await self.socket.close(POLICY, "messages that are too long, or too many at once")
                    return
                self._waiting.append(text)
            elif data:
                if self._waiting and isinstance(self._waiting[-1], bytearray):
                    self._waiting[-1] += data
                else:
                    self._waiting.append(bytearray(data))
                if sum(len(w) for w in self._waiting if isinstance(w, bytearray)) > 2 * self.rate * WAITING_SECONDS:
                    text = "the speed of speech, on a server that keeps up"
                    await self._send_refusal(
                        busy(f"more than {WAITING_SECONDS:g} s of sound wait; accepted: {text}", 1)
                    )
                    await self.socket.close(TRY_LATER, "behind")
                    return
            self._come.set()

    async def _next(self, receiving: asyncio.Task[None]) -> str | bytearray | None:
        """The next message, at most `BLOCK_SECONDS` of sound; None at the end."""
        while not self._waiting:
            if receiving.done():
                receiving.result()
                return None
            self._come.clear()
            coming = asyncio.create_task(self._come.wait())
            await asyncio.wait({coming, receiving}, return_when=asyncio.FIRST_COMPLETED)
            coming.cancel()
        first = self._waiting[0]
        most = 2 * round(self.rate * BLOCK_SECONDS)
        if isinstance(first, str) or len(first) <= most:
            return self._waiting.popleft()
        block = first[:most]
        del first[:most]
        return block

    async def close(self) -> None:
        """End what goes on."""
        for task in [*self._directions, *([] if self.long is None else [self.long])]:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _send_refusal(self, error: BaseException) -> None:
        self.mistakes += 1
        refusal = refusal_of(error, self.server.store.private)
        await self._send({"type": "error", **body(refusal.code, refusal.message, refusal.where)["error"]})

    async def _send(self, row: dict[str, Any], data: bytes | None = None) -> None:
        async with self._sending, asyncio.timeout(SEND_SECONDS):
            await self.socket.send_text(json.dumps(row))
            if data is not None:
                await self.socket.send_bytes(data)

    async def _event(self, message: str) -> None:
        event: Event = parse_message(message, EVENTS)
        match event:
            case Start():
                await self._start(event)
            case Text() | Emotion():
                await self._direct(event)
            case Preset():
                await self._hold(event)
            case Words():
                await self._say(event)
            case End():
                await self._end()
            case Long():
                self._check_free()
                check_text(event.scene)
                self.acked, self.room = 0, asyncio.Event()
                self.long = asyncio.create_task(self._make_long(event))
            case Ack():
                self.acked = max(self.acked, event.frame)
                self.room.set()
            case Stop():
                if self.long is not None:
                    self.long.cancel()

    # A live avatar

    async def _start(self, event: Start) -> None:
        self._check_free()
        check_rate(event.rate, 1, "rate")
        check_json(event)
        if given := [name for name in RECORDED if getattr(event, name)]:
            raise bad(f"{given[0]}: accepted with a whole sound, at /v1/speak", given[0])
        feelings = read_feelings(event.emotion, None)
        text = words_of_body(event)
        make_body = body_under(self.server, text, event.motion)
        asked = resolve_sources(event, lambda _, value, name: body_of(self.server.store.motion(value, name), name))
        if text:
            under = await self.server.wait_for("stream", lambda _: make_body(event.seed))
        else:
            under = make_body(event.seed)
        pipeline = await self.studio.pipeline()
        make = partial(
            pipeline.stream, event.rate, event.text, feelings, body=under,
            words=[] if event.words else None, controls=asked.controls, lips=asked.lips, **asked.settings,
        )  # fmt: skip
        self.live = await self.studio.read(make)
        self.samples = self.frames = 0
        self.rate, self.with_words = event.rate, event.words
        self.held, self.mixer = HeldPresets(), PresetMixer() if event.presets else None
        latency = round(self.live.latency, 4)
        row = {"presets": list(PRESETS)} if event.presets else {}
        await self._send({"type": "ready", "fps": FPS, "latency": latency, **columns(SMPL52, True), **row})

    def _check_free(self) -> None:
        if self.live is not None or (self.long is not None and not self.long.done()):
            raise bad("a stream goes on; accepted after its end", "type")

    def _start_playing(self) -> AvatarStream:
        if self.live is None:
            raise bad('no stream; accepted after {"type": "start"}', "type")
        return self.live

    async def _sound(self, data: bytes) -> None:
        live = self._start_playing()
        if len(data) % 2:
            raise bad(f"{len(data)} bytes of sound; accepted 16 bit samples, little-endian, mono", "sound")
        pcm = np.frombuffer(data, "<i2")
        self.samples += len(pcm)
        if len(pcm):
            async with self._using:
                result = await self.studio.run(lambda: self._rows(live.push(pcm)))
            await self._frames(*result)

    def _rows(self, piece: AvatarMotion | None) -> tuple[int, bytes]:
        """Number of frames and their bytes, with presets that are held, and presets after the face where asked for."""
        if piece is None:
            return 0, b""
        rows = frame_rows(piece)[1]
        rows[:, -arkit.COUNT :] = face = self.held(rows[:, -arkit.COUNT :])
        if self.mixer is not None:
            presets = self.mixer(face)
            rows = np.concatenate([rows, np.stack([presets[n] for n in PRESETS], 1).astype("<f4")], 1)
        return len(piece), rows.tobytes()

    async def _hold(self, event: Preset) -> None:
        self._start_playing()
        name = read_preset(event.preset)
        if name in MOODS or name == NEUTRAL:
            feeling = f"{name}:{event.weight:.2f}" if event.weight >= 0.01 and name != NEUTRAL else NEUTRAL
            await self._direct(Emotion(type="emotion", emotion=feeling))
            return
        async with self._using:
            self.held.hold(name, event.weight)
        await self._send({"type": "directed", "frame": self.frames})

    async def _frames(self, count: int, data: bytes, **about: Any) -> None:
        """Frames that are ready, to the client, and what else there is to say about them."""
        if count:
            row = {"type": "frames", "fps": FPS, "start": self.frames, "frames": count, "joints": len(SMPL52.names),
                   "channels": arkit.COUNT, **({"presets": len(PRESETS)} if self.mixer else {}), **about}  # fmt: skip
            self.frames += count
            await self._send(row, data)

    async def _direct(self, event: Text | Emotion) -> None:
        """Reads words beside the sound, which goes on meanwhile."""
        live = self._start_playing()
        feelings = read_feelings(event.emotion, None) if isinstance(event, Emotion) else []
        if len(self._directions) >= MAX_DIRECTIONS:
            raise bad(f"{MAX_DIRECTIONS} instructions are being read; accepted again when one has been done", "type")
        task = asyncio.create_task(self._change_direction(live, event, feelings))
        self._directions.add(task)
        task.add_done_callback(self._directions.discard)

    async def _change_direction(self, live: AvatarStream, event: Text | Emotion, feelings: list[Feeling]) -> None:
        face = (await self.studio.pipeline()).face
        text = event.text if isinstance(event, Text) else ""
        try:
            score, direction = await self.studio.read(_read_face, face, text, feelings)
        except UserError as e:
            await self._send_refusal(e)
            return
        async with self._using:
            if live is not self.live:
                return
            frame = live.direct(direction, score, isinstance(event, Text))
        row: dict[str, Any] = {"type": "directed", "frame": frame}
        if doubt := face.doubt(text, score):
            row["warning"] = doubt
        await self._send(row)

    async def _say(self, event: Words) -> None:
        live = self._start_playing()
        if not self.with_words:
            raise bad('words: accepted after {"type": "start", "words": true}', "words")
        words = [SpokenWord(w.text, w.start, w.end) for w in event.words]
        async with self._using:
            await self.studio.run(live.say, words)

    async def _end(self) -> None:
        live = self._start_playing()
        if not self.samples:
            raise bad("end: no sound has come", "type")
        async with self._using:
            result = await self.studio.run(lambda: self._rows(live.finish()))
            self.live = None
        await self._frames(*result)
        await self._close_talk()

    async def _close_talk(self) -> None:
        await self._send({"type": "done", "frames": self.frames, "seconds": round(self.samples / self.rate, 3)})

    # Long motion

    async def _make_long(self, event: Long) -> None:
        """Chunks of the loop, one piece of the model's work each, as far as the client has taken them."""
        sent = 0
        try:
            pieces = await self.server.wait_for("stream", lambda report: chunks(self.server, event))
            await self._send({"type": "ready", "fps": LONG_FPS, "latency": 0.0, **columns(SMPL22, False)})
            while (chunk := await self.server.wait_for("stream", lambda report: next(pieces, None))) is not None:
                for first in range(0, len(chunk.motion), PIECE):
                    piece = chunk.motion.slice(first, min(first + PIECE, len(chunk.motion)))
                    sent = await self._send_frames(sent, piece)
                for span in chunk.spans:
                    await self._send({"type": "step", **step_json(span)})
            await self._send({"type": "done", "frames": sent, "seconds": sent / LONG_FPS})
        except asyncio.CancelledError:
            with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
                await asyncio.shield(self._send({"type": "stopped", "frames": sent}))
        except (Refusal, UserError) as e:
            await self._send_refusal(e)
        except (RuntimeError, WebSocketDisconnect, TimeoutError):  # the client has gone
            pass

    async def _send_frames(self, sent: int, piece: Motion) -> int:
        """Send frames when there is room for them; frames in all."""
        while sent + len(piece) - self.acked > AHEAD_SECONDS * LONG_FPS:
            self.room.clear()
            await asyncio.wait_for(self.room.wait(), IDLE_SECONDS)
        row = {"type": "frames", "fps": LONG_FPS, "start": sent, "frames": len(piece), "joints": len(SMPL22.names),
               "channels": 0}  # fmt: skip
        await self._send(row, frame_rows(piece)[1].tobytes())
        return sent + len(piece)


def parse_message(message: str, kinds: TypeAdapter[Any]) -> Any:
    """The event of a message, of some kinds. Raises Refusal for another one."""
    try:
        return kinds.validate_json(message)
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(map(str, first["loc"][len(first["loc"]) > 1 :])) or "type"  # without the name of its kind
        raise bad(f"{place}: {first['msg']}", place) from None


def _read_face(face: Any, text: str, feelings: Any) -> tuple[Score | None, Any]:
    """The score and direction of an instruction, or of feelings."""
    score = face.read([text])[0] if text.strip() else None
    return score, face.direction(score, feelings)
