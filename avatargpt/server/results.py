"""`Results`: motions, uploads, jobs and sessions on disk, under ids that cannot be guessed, until they expire."""
# Everything appears by renaming a complete folder, so that processes may share a store and one that ends leaves
# nothing half-written.

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion
from avatargpt.server.errors import Refusal, unknown
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write
from vqvae.motion import Motion

Clip = Motion | FaceMotion | AvatarMotion
ID = re.compile(r"[A-Za-z0-9_-]{22,64}")
MOTIONS, UPLOADS, SESSIONS, JOBS, WORK = "motions", "uploads", "sessions", "jobs", "work"
ABOUT, CLIP, SOUND, EXPORTS = "about.json", "clip.npz", "sound", "exports"
STALE = 3600.0  # seconds after which what a process left unfinished is removed


def new_id() -> str:
    """24 url-safe characters, 144 random bits."""
    return secrets.token_urlsafe(18)


def digest(text: str) -> str:
    """SHA-256 of a text, by which clients and logs know it without its words."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@cache
def list_forms(kind: str) -> tuple[str, ...]:
    """The formats that motions of a kind are written as here, without the dot: those whose programs are installed."""
    out = []
    for suffix in export.writable(kind):
        with suppress(UserError):
            export.check_target(Path(tempfile.gettempdir(), f"motion{suffix}"), kind)
            out.append(suffix[1:])
    return tuple(out)


@dataclass(frozen=True)
class Stored:
    """Something in the store: its id, folder and description."""

    id: str
    folder: Path
    about: dict[str, Any]

    def clip(self) -> Clip:
        """The motion. Raises UserError where there is none."""
        kind, file = self.about["kind"], self.folder / CLIP
        if kind == "face":
            return FaceMotion.load(file)
        if kind != "avatar":
            return replace(Motion.load(file), notes=tuple(self.about.get("notes", ())))
        sound = next(iter(self.folder.glob(f"{SOUND}.*")), None)
        return replace(AvatarMotion.load(file), sound=sound)


class Results:
    """The folder of a server.

    Args:
        root: made where it is missing. seconds: that results, uploads and jobs are kept. session_seconds: that sessions
            are, after their last change. most: bytes of all of it.
    """

    def __init__(self, root: Path, seconds: float, session_seconds: float, most: int) -> None:
        self.root, self.most = Path(root).resolve(), most
        self.private = (self.root,)  # folders that no client is told
        self.lives = {
            MOTIONS: seconds, UPLOADS: seconds, JOBS: seconds, SESSIONS: session_seconds, WORK: STALE,
        }  # fmt: skip
        try:
            for kind in self.lives:
                (self.root / kind).mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as e:
            raise UserError(f"{self.root}: cannot be the store of a server ({e.strerror or e})") from None
        self._sweeping = threading.Lock()
        self.size = 0  # bytes at the last sweep, and those of new entries since

    # Folders

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A folder for unfinished files, removed at the end."""
        folder = self.root / WORK / new_id()
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def find(self, kind: str, number: str, what: str, where: str = "id") -> Path:
        """The folder of an id. Raises Refusal (404) for an unknown or expired one."""
        if ID.fullmatch(number):
            folder = self.root / kind / number
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime <= self.lives[kind]:
                    return folder
        raise unknown(what, where)

    def expires(self, folder: Path) -> str:
        """When a folder of the store expires, ISO 8601 in UTC."""
        at = folder.stat().st_mtime + self.lives[folder.parent.name]
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def put(self, kind: str, about: Mapping[str, Any], fill: Callable[[Path], object]) -> Stored:
        """A new entry; `fill` writes its files into a folder."""
        self.check_space()
        number = new_id()
        with self.work() as folder:
            entry = folder / number
            entry.mkdir(mode=0o700)
            fill(entry)
            (entry / ABOUT).write_text(json.dumps(dict(about), ensure_ascii=False), encoding="utf-8")
            size = _size(entry)
            entry.rename(self.root / kind / number)
        self.size += size
        return Stored(number, self.root / kind / number, dict(about))

    def get(self, kind: str, number: str, what: str, where: str = "id") -> Stored:
        """An entry. Raises Refusal (404) for an unknown or expired id."""
        folder = self.find(kind, number, what, where)
        try:
            return Stored(number, folder, read_object(folder / ABOUT))
        except UserError:
            raise unknown(what, where) from None

    # Motions and uploads

    def put_motion(self, clip: Clip, **about: Any) -> Stored:
        """A motion with what is known of it (``prompt``, ``seed``, ``read_as``, ...)."""
        kind = clip.modality
        channels = {
            "body": kind != "face",
            "hands": kind == "avatar" or (isinstance(clip, Motion) and clip.fingers is not None),
            "face": kind in ("face", "avatar"),
        }
        row = {
            "kind": kind, "seconds": round(clip.seconds, 3), "frames": len(clip), "fps": clip.fps,
            "caption": clip.caption, "notes": list(getattr(clip, "notes", ())), "channels": channels,
            "sound": isinstance(clip, AvatarMotion) and clip.sound is not None, **about,
        }  # fmt: skip

        def fill(folder: Path) -> None:
            if isinstance(clip, AvatarMotion):
                replace(clip, sound=None).write_npz(folder / CLIP)
                if clip.sound is not None:
                    shutil.copyfile(clip.sound, folder / f"{SOUND}{clip.sound.suffix}")
            else:
                clip.save(folder / CLIP)

        return self.put(MOTIONS, row, fill)

    def motion(self, number: str, where: str = "id") -> Stored:
        """The motion of an id. Raises Refusal (404)."""
        return self.get(MOTIONS, number, "motion", where)

    def motion_json(self, entry: Stored) -> dict[str, Any]:
        """A motion as clients get it."""
        about, sound = entry.about, entry.about.get("sound_id")
        keys = ("kind", "seconds", "frames", "fps", "notes", "channels", "caption")
        return {
            "id": entry.id, "prompt": about.get("prompt", ""), "prompt_sha256": about.get("prompt_sha256", ""),
            **{k: about.get(k) for k in keys}, "read_as": about.get("read_as", []), "seed": about.get("seed"),
            "links": {form: f"/v1/exports/{entry.id}.{form}" for form in ("frames", *list_forms(about["kind"]))},
            "sound": f"/v1/uploads/{sound}" if sound else None, "expires": self.expires(entry.folder),
        }  # fmt: skip

    def upload(self, number: str, where: str = "id", kinds: tuple[str, ...] = ()) -> tuple[Stored, Path]:
        """An uploaded file of one of some kinds: its entry and its path.

        Raises:
            Refusal: 404 for an unknown id, 400 for a file of another kind.
        """
        entry = self.get(UPLOADS, number, "upload", where)
        if kinds and entry.about["kind"] not in kinds:
            text = f"an upload that is a {entry.about['kind']}; accepted: {' or '.join(kinds)}"
            raise Refusal(400, text, where)
        return entry, entry.folder / entry.about["file"]

    # Jobs

    def write_job(self, number: str, row: Mapping[str, Any]) -> None:
        """The state of a job, for every process of the store."""
        text = json.dumps(dict(row), ensure_ascii=False)
        atomic_write(self.root / JOBS / f"{number}.json", lambda p: p.write_text(text, encoding="utf-8"))

    def cancel_job(self, number: str) -> None:
        """Let the process that works on a job know that it is to end."""
        (self.root / JOBS / f"{number}.cancel").touch()

    def is_cancelled(self, number: str) -> bool:
        """Whether another process cancelled a job."""
        return (self.root / JOBS / f"{number}.cancel").exists()

    def job(self, number: str) -> tuple[dict[str, Any], float]:
        """The state of a job, and when it was written, in seconds of `time.time`. Raises Refusal (404)."""
        if not ID.fullmatch(number) or not (path := self.root / JOBS / f"{number}.json").is_file():
            raise unknown("job")
        return read_object(path), path.stat().st_mtime

    # Sessions

    def new_session(self) -> Path:
        """The folder of a new session."""
        self.check_space()
        folder = self.root / SESSIONS / new_id()
        folder.mkdir(mode=0o700)
        return folder

    def session(self, number: str) -> Path:
        """The folder of a session. Raises Refusal (404)."""
        return self.find(SESSIONS, number, "session")

    # Upkeep

    def check_space(self) -> None:
        """Raises Refusal (503) where the store is full."""
        if self.size > self.most:
            raise Refusal(503, "the store of this server is full; try again later", code="full",
                          headers={"Retry-After": "600"})  # fmt: skip

    def sweep(self) -> None:
        """Remove what has expired, and count the bytes of the rest."""
        with self._sweeping:  # a folder that another sweep is emptying looks as if it had just been used
            size, now = 0, time.time()
            for kind, life in self.lives.items():
                for entry in (self.root / kind).iterdir():
                    with suppress(OSError):
                        if now - entry.stat().st_mtime <= life:
                            size += _size(entry)
                        elif entry.is_dir():
                            shutil.rmtree(entry, ignore_errors=True)
                        else:
                            entry.unlink(missing_ok=True)
            self.size = size


def _size(entry: Path) -> int:
    if not entry.is_dir():
        return entry.stat().st_size
    return sum(p.stat().st_size for p in entry.rglob("*") if p.is_file())
