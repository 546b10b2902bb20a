"""Sessions of the studio: conversations, whose folders lie in the store, what clients see of them, drafts."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from avatargpt.chat.conversation import Conversation, Reply
from avatargpt.chat.keying import Keys
from avatargpt.chat.scene import OnDraft
from avatargpt.chat.segments import with_segment
from avatargpt.chat.timeline import FPS, SESSION, Kind, Memory, Segment, SessionStore, Timeline
from avatargpt.chat.voices import PlacedVoice, key_of
from avatargpt.export.avatar import AvatarMotion
from avatargpt.server.errors import busy, without
from avatargpt.server.frames import frames
from avatargpt.server.results import Clip, Results, digest, list_forms, new_id
from avatargpt.server.worker import Report
from instruct_data.dialogue.acts import TAKE_LETTERS, Act, from_json, write
from vqvae.errors import LockedError, UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write
from vqvae.motion import Motion

FILES, STATE = "files", "state.json"  # in the folder of a session
KEYS = "keys.json"  # as acts of clients name the keys of their turn
RETRY = 2.0  # seconds after which a session that another process works on may be free
VIEWS = 32  # sessions whose timelines stay in memory


@dataclass(frozen=True)
class State:
    """What a session holds beside its conversation: a version that rises with each change of the timeline, which
    `digest` knows."""

    version: int = 0
    digest: str = ""

    def at(self, now: Timeline) -> State:
        """The state with this timeline."""
        present = digest_of(now)
        return self if present == self.digest else State(self.version + 1, present)


def digest_of(now: Timeline) -> str:
    """What tells one timeline from another."""
    return digest(json.dumps(now.to_json(), sort_keys=True))


class Sessions:
    """The sessions of a store, read without their lock; the timelines of the last ones stay in memory.

    Args:
        talk: folder, outputs, report, taker of drafts -> the conversation of that folder.
    """

    def __init__(self, store: Results, talk: Callable[[Path, Path, Report | None, OnDraft], Conversation]) -> None:
        self.store, self._talk = store, talk
        self._views: OrderedDict[str, tuple[Any, Memory, State]] = OrderedDict()
        self._lock = threading.Lock()

    def create(self) -> str:
        """A new session's id."""
        folder = self.store.new_session()
        (folder / FILES).mkdir()
        return folder.name

    def view(self, number: str) -> tuple[Memory, State]:
        """What a session holds. Raises Refusal (404) for an unknown one."""
        folder = self.store.session(number)
        stamp = _stamp(folder)
        with self._lock:
            if number in self._views and self._views[number][0] == stamp:
                self._views.move_to_end(number)
                return self._views[number][1:]
        for again in (True, False):
            try:
                memory, state = SessionStore(folder, locked=False).load() or Memory(), read_state(folder)
                break
            except UserError:  # a turn has just ended, and what it does not need any more has gone
                if not again:
                    raise
        state = state.at(memory.now)
        with self._lock:
            self._views[number] = stamp, memory, state
            while len(self._views) > VIEWS:
                self._views.popitem(last=False)
        return memory, state

    def version(self, number: str) -> int:
        """The version of a session; cheap where nothing has changed."""
        return self.view(number)[1].version

    def turn(
        self, number: str, report: Report, text: str, acts: Sequence[Act | str], draft: OnDraft = None,
        keys: Keys | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """One turn, in words or in acts; its reply and the session as they go out."""
        with self.conversation(number, report, draft) as talk:
            if keys is not None:  # acts keep the name of the file alone
                name = f"keys-{digest(rows := keys.model_dump_json())[:12]}.json"
                atomic_write(talk.outputs / name, lambda p: p.write_text(rows, encoding="utf-8"))
                acts = [a.replace(KEYS, name) if isinstance(a, str) else a for a in acts]
            reply = talk.do(*acts) if acts else talk.say(text)
            self._keep(number, talk.memory)
        return {"reply": self.reply_json(number, reply), "session": self.json(number)}

    def append(self, number: str, report: Report, clip: Clip, caption: str) -> dict[str, Any]:
        """A motion of the store as the last segment."""
        sound = getattr(clip, "sound", None)  # a file that clients may fetch names no path of this machine
        clip = replace(clip, sound=None) if isinstance(clip, AvatarMotion) else clip
        name = f"{new_id()[:12].strip('-_').lower()}.npz"
        with self.conversation(number, report) as talk:
            clip.with_caption(caption or clip.caption).save(talk.outputs / name)
            reply = talk.do(Act("load", file=name))
            if reply.ok:
                segment = talk.timeline.segments[-1]
                text = f"Added: {segment.caption} ({segment.motion.seconds:.1f} s)."
                reply = replace(reply, text=text)
                talk.memory.turns[-1] |= {"user": "", "reply": text}
                if segment.spoken is not None:
                    segment = replace(segment, spoken=replace(segment.spoken, sound=sound))
                    talk.memory.now = with_segment(talk.timeline, len(talk.timeline.segments) - 1, segment)
                assert talk.store is not None
                talk.store.save(talk.memory)
                self._keep(number, talk.memory)
        return {"reply": self.reply_json(number, reply), "session": self.json(number)}

    @contextmanager
    def conversation(self, number: str, report: Report | None = None, draft: OnDraft = None) -> Iterator[Conversation]:
        """A session's conversation, locked while the block runs. Raises Refusal: 404, or 429 where it is busy."""
        folder = self.store.session(number)
        try:
            talk = self._talk(folder, folder / FILES, report, draft)
        except LockedError:
            raise busy("another turn of this session is going on; try again", RETRY) from None
        try:
            yield talk
        finally:
            talk.close()

    def _keep(self, number: str, memory: Memory) -> None:
        folder = self.store.session(number)
        state = read_state(folder).at(memory.now)
        row = {"version": state.version, "digest": state.digest}
        atomic_write(folder / STATE, lambda p: p.write_text(json.dumps(row), encoding="utf-8"))
        with self._lock:
            self._views[number] = _stamp(folder), memory, state
            self._views.move_to_end(number)

    # What clients see

    def json(self, number: str) -> dict[str, Any]:
        """A session as clients get it."""
        memory, state = self.view(number)
        now, base = memory.now, f"/v1/sessions/{number}"
        forms = list_forms("avatar" if any(s.spoken for s in now.segments) else "body")
        links = {"frames": f"{base}/frames", **{f: f"{base}/exports.{f}" for f in forms}}
        return {
            "id": number, "version": state.version, "seconds": round(now.seconds, 3), "fps": FPS,
            "frames": len(now.motion) if now.segments else 0,
            "question": memory.question,
            "can_undo": bool(memory.past), "can_redo": bool(memory.future), "chosen": now.chosen + 1,
            "segments": _segments(now, base),
            "takes": [{"n": i + 1, "letter": TAKE_LETTERS[i], "caption": s.caption, "seconds": s.motion.seconds}
                      for i, s in enumerate(now.takes)],
            "turns": [{"user": t["user"], "reply": without(t["reply"], self.store.private),
                       "acts": lines_of(t["acts"]), "ok": bool(t.get("ok", True))} for t in memory.turns],
            "motion": links, "expires": self.store.expires(self.store.session(number)),
        }  # fmt: skip

    def reply_json(self, number: str, reply: Reply) -> dict[str, Any]:
        """A reply as clients get it."""
        memory, _ = self.view(number)
        folder = self.store.session(number) / FILES
        names = [str(f.relative_to(folder)) for f in reply.files if f.is_relative_to(folder)]
        return {
            "text": without(reply.text, (folder, *self.store.private)), "ok": reply.ok,
            "acts": [write([a]) for a in reply.acts], "understood": reply.understood, "over": reply.over,
            "question": memory.question,
            "files": [{"name": n, "href": f"/v1/sessions/{number}/files/{n}"} for n in names],
        }  # fmt: skip


@dataclass(frozen=True)
class Draft:
    """The last segment of a timeline, as far as it has come.

    Attributes:
        row: what clients get of it; its `take` rises with each draft of the process. frames: a ``.frames`` file of it.
    """

    row: dict[str, Any]
    frames: bytes


class Drafts:
    """The last draft of every session of which a turn is running, and who waits for the next one."""

    def __init__(self) -> None:
        self._present: dict[str, Draft] = {}
        self._count = 0
        self._watchers: list[tuple[str, Callable[[], object]]] = []

    def of(self, session: str) -> Draft | None:
        """The draft of a session, None where there is none."""
        return self._present.get(session)

    @contextmanager
    def watch(self, session: str) -> Iterator[asyncio.Event]:
        """An event of the running loop, set by each draft of a session and by each `wake`; the block clears it."""
        event = asyncio.Event()
        watcher = session, partial(asyncio.get_running_loop().call_soon_threadsafe, event.set)
        self._watchers.append(watcher)
        try:
            yield event
        finally:
            self._watchers.remove(watcher)

    def wake(self, session: str) -> None:
        """Let those who watch a session look at it, from any thread."""
        for watched, wake in tuple(self._watchers):
            if watched == session:
                with suppress(RuntimeError):  # the loop has ended before
                    wake()

    @contextmanager
    def open(self, session: str) -> Iterator[Callable[[Timeline], None]]:
        """Takes the drafts of one turn, on the model's thread."""

        def put(timeline: Timeline) -> None:
            last, (start, end) = timeline.segments[-1], timeline.spans[-1]
            self._count += 1
            row = {
                "take": self._count, "n": len(timeline.segments), "start": start / FPS, "seconds": (end - start) / FPS,
                "caption": last.caption, "activity": last.activity, "frames": f"/v1/sessions/{session}/draft.frames",
            }  # fmt: skip
            self._present[session] = Draft(row, frames(timeline.motion.slice(start, end)))
            self.wake(session)

        try:
            yield put
        finally:
            self._present.pop(session, None)


def read_state(folder: Path) -> State:
    """The state of a session's folder; that of a new one where there is none."""
    path = folder / STATE
    if not path.is_file():
        return State(digest=digest_of(Timeline()))
    row = read_object(path)
    return State(int(row["version"]), str(row["digest"]))


def lines_of(acts: Sequence[dict[str, Any]]) -> list[str]:
    """Stored acts as lines."""
    return [write([from_json(a)]) for a in acts]


def _segments(now: Timeline, base: str) -> list[dict[str, Any]]:
    rows = []
    focus = len(now.segments) - 1 if now.focus is None else now.focus
    for i, (segment, (start, end), rounds) in enumerate(zip(now.segments, now.spans, now.rounds, strict=True)):
        spoken, seconds = segment.spoken, (end - start) / FPS
        clip = None if spoken is None else f"{base}/clips/{key_of(spoken)}"
        heard = spoken is not None and PlacedVoice(spoken, start / FPS, seconds).sound is not None
        rows.append({
            "n": i + 1, "caption": segment.caption, "name": segment.name, "activity": segment.activity,
            "start": start / FPS, "seconds": seconds, "rounds": rounds, "note": segment.note,
            "kind": segment.kind, "focus": i == focus, "seed": segment.seed, "tempo": segment.tempo,
            "mirrored": segment.mirrored, "actions": [{"caption": c, "at": at} for c, at in segment.actions],
            "clip": clip and f"{clip}.frames", "sound": f"{clip}.sound" if heard else None,
        })  # fmt: skip
    return rows


def _stamp(folder: Path) -> tuple[int, ...]:
    """What changes whenever a session does."""
    out: list[int] = []
    for name in (SESSION, STATE):
        with suppress(OSError):
            about = (folder / name).stat()
            out += [about.st_mtime_ns, about.st_ino]
    return tuple(out)


def edit_motion(model: Any, motion: Motion, about: dict[str, Any], text: str, seed: int, intent: Any = None) -> Motion:
    """A motion changed by words, read as a turn of a conversation about its only segment.

    Args:
        intent: reads the words; None = the reader of the model's folder.

    Returns:
        The motion; its notes say what was done.

    Raises:
        UserError: what is not understood, changes nothing or cannot be done; the line is the conversation's answer.
    """
    read_as = about.get("read_as") or []
    caption = read_as[0] if len(read_as) == 1 else about.get("prompt") or motion.caption
    kind: Kind = "made" if about.get("operation") in ("generate", "edit") and caption else "file"
    segment = Segment(caption, motion.resampled(FPS).canonical(), int(about.get("seed") or 0), kind=kind)
    talk = Conversation(model, intent=intent, seed=seed, served=True)
    talk.memory.now = before = Timeline().replace_segments([segment])
    reply = talk.say(text)
    words = reply.text.replace("segment 1", "the motion").replace("Segment 1", "The motion")
    out = talk.motion
    if not reply.ok or talk.timeline is before or out is None:
        raise UserError(words)
    captions = ", then ".join(s.caption for s in talk.timeline.segments)
    return replace(out.with_caption(captions), notes=(*out.notes, *words.splitlines()))
