"""The command line in this process, with a model of known answers behind it."""

import io
import shutil
import socket
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import avatargpt
import avatargpt.body.model  # binds SentenceGrounder, which `words` replaces
from avatargpt.__main__ import main
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.options import UnheededText
from avatargpt.requests.resolver import ResolvedRequest
from tests.clips import gliding
from tests.factories import RandomGrounder
from tests.gesture.conftest import Spelling, model_folder
from vqvae.motion import Motion, concatenate


def walk(seconds: float, seed: int = 0, caption: str = "") -> Motion:
    """A clip of a person gliding forward, swinging an arm; `seed` sets the speed."""
    return gliding(max(1, round(seconds * 20)), 1 + seed % 7, caption=caption)


class FakeAvatarGPT:
    """Answers every call of the public API with clips that can be computed, and remembers how it was called."""

    loads: list[tuple[Any, ...]] = []
    calls: list[tuple[str, dict[str, Any]]] = []
    phrase_index = None

    @classmethod
    def from_pretrained(cls, path=None, device=None, dtype=None, threads=None):
        cls.loads.append((path, device, dtype, threads))
        return cls()

    def generate(self, texts, seconds=None, config=None, seeds=None, progress=None, after=None):
        texts = [getattr(t, "source", t) for t in texts]
        options = dict(vars(config))
        seed, num = options.pop("seed"), options.pop("num")
        self.calls.append(("generate", {"texts": texts, "seconds": seconds, "seed": seed, "num": num, **options}))
        return [walk(seconds or 2.0, seed + i, text) for text in texts for i in range(num)]

    def read_as(self, texts, seconds=None, literal=False):
        return [list(r.captions) for r in self.resolve(texts)]

    @property
    def body(self):
        return types.SimpleNamespace(generation=self)

    @property
    def composer(self):
        def divide(text):
            return types.SimpleNamespace(text=text, lines=[f"{text} -> body: {self.read_as([text])[0][0]}"])

        def compose(division, seconds=None, config=None, progress=None):
            return [types.SimpleNamespace(body=self.generate([division.text], None, config)[0], score=None)]

        return types.SimpleNamespace(divide=divide, compose=compose)

    def resolve(self, texts, seconds=None, literal=False):
        return [ResolvedRequest(t, captions=tuple(t.replace("strolls", "walks").split(", then "))) for t in texts]

    def describe(self, motion, num=1, seed=0, best_of=None, feeling=False, transcript=""):
        if feeling:
            return self.feeling(motion)
        self.calls.append(("describe", {"count": len(motion), "num": num, "seed": seed, "best_of": best_of}))
        answers = [[f"a person walks {len(m)} frames, version {i}" for i in range(num)] for m in motion]
        return answers if num > 1 else [a[0] for a in answers]

    def in_between(self, start, end, seconds=1.0, text="", seed=0, best_of=None):
        if start.modality == "face":
            return self.face_in_between(start, end, seconds, text, seed, best_of)
        self.calls.append(("in_between", {"text": text, "seed": seed, "best_of": best_of}))
        return concatenate([start.resampled(20), walk(seconds, seed), end.resampled(20)]).with_caption(text)

    def face_in_between(self, start, end, seconds, text="", seed=0, best_of=None):
        self.calls.append(("face_in_between", {"text": text, "seed": seed, "best_of": best_of}))
        return start

    def extend(self, motion, seconds=3.0, text="", seed=0, best_of=None):
        self.calls.append(("extend", {"text": text, "seed": seed, "best_of": best_of}))
        if text == "plays the harp":
            warnings.warn(f"{text!r} hardly shows", UnheededText, stacklevel=2)
        return concatenate([motion.resampled(20), walk(seconds, seed)]).with_caption(text)

    def reconstruct(self, motion):
        self.calls.append(("reconstruct", {}))
        return motion, {"mpjpe_mm": 21.25, "drift_mm": 40.0, "tokens": -(-len(motion) // 4)}


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def refused(self, *words: str) -> None:
        """One line on stderr with all of the words, exit status 2."""
        assert self.code == 2 and self.out == "", (self.code, self.out)
        assert len(self.err.splitlines()) == 1 and self.err.startswith("error: "), self.err
        for word in words:
            assert word in self.err, f"{word!r} not in {self.err!r}"


Cli = Callable[..., Result]


class Pipe:
    """A stdin that raw sound comes from."""

    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run ``avatargpt ARGS`` in this process."""

    def run(*argv: object) -> Result:
        code = main([str(a) for a in argv])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> type[FakeAvatarGPT]:
    """Put the model of known answers in the real one's place."""
    monkeypatch.setitem(avatargpt.__dict__, "AvatarGPT", FakeAvatarGPT)
    FakeAvatarGPT.loads.clear()
    FakeAvatarGPT.calls.clear()
    return FakeAvatarGPT


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A motion file of 2 s."""
    return walk(2.0, caption="a person walks").save(tmp_path / "clip.npz")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny untrained driver and parser."""
    torch.manual_seed(0)
    network = DriverNetwork(DriverConfig(width=24, hidden=32, dilations=[1, 2], text_width=16, inject=1, gates="open"))
    with torch.no_grad():
        for head in (network.curves, network.paired):
            head.weight.normal_(std=0.2)
            head.bias.fill_(0.3)
    folder = tmp_path_factory.mktemp("weights")
    Driver(network).save(folder / "driver")
    _active_parser().save(folder / "driver")
    return folder


@pytest.fixture(scope="session")
def avatar_weights(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a small gesture network."""
    folder = tmp_path_factory.mktemp("avatar") / "weights"
    shutil.copytree(weights, folder)
    return model_folder(folder)


def _active_parser() -> InstructionParser:
    """Random weights that happen to find an action, where most find nothing."""
    for seed in range(100):
        torch.manual_seed(seed)
        network = ParserNetwork(ParserConfig(width=16, hidden=16, heads=2, decoder=1, layers=[6], rank=0))
        parser = InstructionParser(network)
        first, count = parser.tokens.first["action"], len(parser.tokens.fields["action"])
        with torch.no_grad():  # an action is then likelier at the beginning than a length, which is allowed there, too
            network.table.weight[first : first + count] *= 8
        events = parser.read(["close both eyes"], RandomGrounder())[0].events
        if any(e.start < 0.5 and e.action not in ("close_mouth", "return_to_neutral") for e in events):
            return parser
    raise AssertionError("none of a hundred parsers finds an action")


@pytest.fixture
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cheap vectors instead of the encoders of sentences and words."""
    monkeypatch.setattr("avatargpt.lm.text_encoder.SentenceGrounder", lambda **_: RandomGrounder())
    monkeypatch.setattr("avatargpt.gesture.pipeline.word_encoder", lambda name: Spelling())


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """A second of hum that comes and goes."""
    return hum(tmp_path / "talk.wav")


def hum(path: Path, seconds: float = 1.0) -> Path:
    t = np.arange(round(22_050 * seconds)) / 22_050
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 150 * t) * (1 + np.sin(2 * np.pi * 3 * t)), 22_050)
    return path
