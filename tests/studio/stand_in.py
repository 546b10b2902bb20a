"""A server of the studio whose model answers with clips that can be computed: `python -m tests.studio.stand_in`."""

import argparse
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import soundfile
import uvicorn

from avatargpt import planning
from avatargpt.avatar.pipeline import BodyClip
from avatargpt.chat.maker import GeneratedMotion, MotionMaker
from avatargpt.export.avatar import AvatarMotion
from avatargpt.server.app import create_app
from avatargpt.server.settings import ServerSettings
from avatargpt.verbs.actions import KnownAction
from instruct_data.dialogue.acts import TAKES, Act, read
from instruct_data.requests.spec import Clause, MotionRequest
from tests.chat.stand_ins import FakeModel, FakePlanner
from tests.clips import gliding
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion, concatenate
from vqvae.skeleton import FINGER_NAMES

RATE = 30.0  # frames a second of avatars and faces


def loudness(path: Path, frames: int) -> np.ndarray:
    """(T,) loudness of a sound around each frame, 0 to 1."""
    samples, rate = soundfile.read(path, always_2d=True)
    square, half = np.concatenate([[0], np.cumsum(samples[:, 0] ** 2)]), round(rate / RATE / 2)
    centre = np.round(np.arange(frames) * rate / RATE).astype(int)
    low, high = (np.clip(centre + d, 0, len(samples)) for d in (-half, half))
    loud = np.sqrt((square[high] - square[low]) / np.maximum(high - low, 1))
    return loud / max(float(loud.max()), 1e-9)


class Face:
    """A face whose jaw opens as far as its sound is loud, and which smiles where it feels anything."""

    @staticmethod
    def doubt(text: str, score: Any) -> str:
        return ""

    driver = None

    def spans(self, *_: Any) -> tuple[tuple[()], ...]:
        return (), (), ()

    def place(self, texts: list[str], *_: Any, **__: Any) -> list[None]:
        return [None for _ in texts]

    def default_seconds(self, *_: Any) -> float:
        return 2.0

    def perform(self, text: str, sound: Path | None = None, feelings: Any = (), seconds: float | None = None,
                **_: Any) -> FaceMotion:  # fmt: skip
        length = soundfile.info(sound).duration if sound else seconds or 2.0
        weights = np.zeros((max(2, round(length * RATE)), arkit.COUNT))
        if sound:
            weights[:, arkit.INDEX["jawOpen"]] = 0.8 * loudness(sound, len(weights))
        if feelings:
            weights[:, [arkit.INDEX["mouthSmileLeft"], arkit.INDEX["mouthSmileRight"]]] = 0.7
        return FaceMotion(weights, np.zeros((len(weights), 3)), RATE)

    def with_controls(self, clip: FaceMotion, *_: Any) -> FaceMotion:
        return clip


class Avatars:
    """A body that stands, with a face of `Face`."""

    face = Face()

    def read_face(self, *_: Any) -> None:
        return None

    @property
    def gestures(self) -> Any:
        return SimpleNamespace(perform=lambda path, *_, **__: self.speak(path).body)

    def speak(self, path: Path, feelings: Any = (), **_: Any) -> AvatarMotion:
        face = self.face.perform("", path, feelings)
        count = len(face.weights)
        fingers = np.broadcast_to(rot.from_axis_angle(np.array([0, 0, 0.3])), (count, len(FINGER_NAMES), 4)).copy()
        body = Motion(rot.identity((count, 22)), np.tile([0, 0.95, 0], (count, 1)), RATE, "gesture", fingers=fingers)
        return AvatarMotion(body, face, None)


SLOW = 2.5  # seconds between a draft and the motion of words with "slowly"
_made = MotionMaker.make


def made_slowly(self: MotionMaker, caption: str, seconds: float | None, seed: int, after: Any = None, draft: Any = None,
                ) -> GeneratedMotion:  # fmt: skip
    """The first half of a motion, and after a while all of it; "slowly, better": of another speed."""
    out = _made(self, caption, seconds, seed, after)
    if draft and "slowly" in caption:
        half = out.motion.slice(0, len(out.motion) // 2)
        draft(Motion(half.rotations, half.root * [3, 1, 3]) if "better" in caption else half)
        time.sleep(SLOW)
    return GeneratedMotion(out.motion, ((caption, 0.0), ("a person waves", 0.5))) if " and waves" in caption else out


class Model(FakeModel):
    """Bodies that glide; words with "cartwheel" are not shown, and a note says so."""

    avatars = Avatars()

    def acted(self, text: str, seed: int) -> BodyClip:
        return BodyClip(self.generate([text], seed=seed)[0])

    def generate(
        self, texts: list[str], seconds: Any = None, seed: int = 0, after: Any = None, **_: Any
    ) -> list[Motion]:
        if not isinstance(texts[0], str):
            return [self.along(t.request.clauses[0].waypoints) for t in texts]
        notes = ("no cartwheel is known",) if "cartwheel" in texts[0] else ()
        clip = gliding(max(2, round((seconds or 2.0) * 20)), 0.4 + 0.2 * (seed % 7), caption=texts[0])
        return [Motion(clip.rotations, clip.root, caption=texts[0], notes=notes)]

    def in_between(self, start: Motion, end: Motion, seconds: float, *_: Any, **__: Any) -> Motion:
        """A middle that leans, and is a mean of both ends in its place."""
        count = round(seconds * 20)
        way = start.root[-1] + np.linspace(0, 1, count)[:, None] * (end.root[0] - start.root[-1])
        middle = Motion(np.broadcast_to(rot.identity((22,)), (count, 22, 4)).copy(), way)
        middle.rotations[:, 3] = rot.from_axis_angle(np.array([0.4, 0, 0]))
        return concatenate([start, middle, end])

    def along(self, waypoints: list[tuple[float, float]]) -> Motion:
        """From one place to the next, in five seconds each: at a seam a body keeps its pace for a moment."""
        places = np.array([(0.0, 0.0), *waypoints])
        times = np.arange(100 * len(waypoints) + 1) / 100
        at = np.stack([np.interp(times, range(len(places)), p) for p in places.T], 1)
        clip = gliding(len(at))
        return Motion(clip.rotations, np.stack([at[:, 0], 0 * at[:, 0] + 0.95, at[:, 1]], 1))

    def resolve(self, requests: list[Any], *_: Any) -> list[Any]:
        return [SimpleNamespace(request=r, captions=("a person walks",)) for r in requests]

    def expected_seconds(self, requests: list[Any], *_: Any) -> list[float]:
        return [2.0 for _ in requests]

    def describe(self, motion: list[Motion], **_: Any) -> list[str]:
        return [f"a person moves for {len(m)} frames" for m in motion]

    def act_face(
        self, text: str = "", emotion: Any = (), sound: Any = None, seconds: float | None = None, **_: Any
    ) -> FaceMotion:
        return self.avatars.face.perform(text, sound, emotion, seconds)

    def speak(self, sound: Any, emotion: Any = (), **_: Any) -> AvatarMotion:
        return self.avatars.speak(sound, emotion)

    def gesture(self, sound: Any, **_: Any) -> Motion:
        return self.avatars.speak(sound).body

    def read(self, text: str, **_: Any) -> MotionRequest:
        """A clause for each part of the words between "and"s; sides, counts and one manner; "flurb" is not known."""
        clauses = []
        for words in re.sub("^a person ", "", text).split(" and "):
            side, times = re.search("left|right", words), re.search(r"(\d+) times", words)
            style, unknown = re.search("proudly", words), "flurb" in words
            name = (re.search(r"move_?\s?\d+", words) or [words.split()[0]])[0].replace(" ", "_")
            clauses.append(Clause(action=words, side=side and side[0], times=times and int(times[1]),  # type: ignore
                                  style=style[0] if style else "", name=name, known=not unknown))  # fmt: skip
        return MotionRequest(clauses=clauses, unshown=["loudly"] if "loudly" in text else [])

    def actions(self, query: str = "", count: int = 20, offset: int = 0) -> list[KnownAction]:
        """120 moves; the last ones are the nearest to any query."""
        rows = [KnownAction(f"move_{i:03}", f"a person does move {i}", i / 10, False, i == 1) for i in range(120)]
        return (rows[::-1] if query else rows)[offset : offset + count]


READINGS = {"first": "speed 1 x0.5", "second": "delete 1"}
EITHER = "Shall I play segment 1 0.5 times as fast (first), or remove segment 1 (second)?"


class Words:
    """Turns are lines of acts; "slower or gone" has two readings; all else is a motion that is made, or comes next."""

    name = "stand-in"
    question = ""

    def understand(self, turn: Any) -> list[Act]:
        first = turn.request.split()[:1]
        asked, self.question = self.question, EITHER if turn.request == "slower or gone" else ""
        if self.question:
            return []
        if asked and turn.request in READINGS:
            return read(READINGS[turn.request])
        try:
            return read(turn.request)
        except UserError:
            if first and first[0] in TAKES:
                raise
        return [Act("then" if turn.captions else "make", text=turn.request)]


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("store", type=Path)
    parser.add_argument("--packaged", action="store_true", help="the packaged weights in place of the stand-in")
    given = parser.parse_args()
    settings = ServerSettings(store=given.store)
    if given.packaged:
        return uvicorn.run(create_app(settings), port=given.port, log_level="warning")
    planning.load_planner = lambda *_, **__: FakePlanner()  # type: ignore[assignment, return-value]
    MotionMaker.make = made_slowly  # type: ignore[method-assign]
    app = create_app(settings, Model(), Words())
    uvicorn.run(app, port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
