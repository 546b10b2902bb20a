"""A corpus of a few dozen procedural clips with texts, and the stages run on it once."""

import json
import zlib
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from avatargpt.config import resolve
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.train.command import main
from instruct_data.clip import Clip
from instruct_data.store import Store
from vqvae import rotations as rot
from vqvae.motion import Motion

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEBUG = {
    "language": "language/body.yaml:debug", "tokenizer": "tokenizer/body.yaml:debug", "requests": "requests.yaml:debug",
}
# streams and schedule of the small language model
STREAMS = {
    "text_to_motion": 0.3, "text_to_motion/composed": 0.1, "motion_to_text": 0.2, "in_between": 0.1,
    "continuation": 0.1, "rewrite": 0.1,
}  # fmt: skip
LANGUAGE = {
    "model.grounding_dim": 0, "train.batch": 8, "train.optimizer": "adamw", "train.ema": 0.0, "train.seed": 0,
    "train.lr_floor": 2e-5, "train.refiner_rows": 0.5, "train.options": {"weights": STREAMS},
}  # fmt: skip
COMPOSED = [f"--set=prepare.{key}" for key in ("composed=20", "prompts=3", "composed_prompts=2")]  # and recordings
CPU = ("--threads", 1, "--device", "cpu")
ACTIONS = {
    "walk": ["{person} walks forward {manner}", "{person} strolls ahead {manner}"],
    "bow": ["{person} bows from the waist {manner}", "{person} takes a bow {manner}"],
    "wave-right-hand": ["{person} waves with the right hand {manner}", "{person} greets with the right hand"],
    "squat": ["{person} squats down {manner}", "{person} bends both knees deeply {manner}"],
}


def movement(action: str, frames: int, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 22, 4) and root (T, 3) of one clip; each action moves other joints."""
    t = np.arange(frames) / 20
    swing = 0.7 * np.sin(2 * np.pi * speed * t)
    q = np.broadcast_to(rot.identity((22,)), (frames, 22, 4)).copy()
    root = np.stack([0 * t, 0 * t + 0.95, 0 * t], -1)
    joint, axis = {"walk": (1, [1, 0, 0]), "bow": (3, [1, 0, 0]), "wave-right-hand": (17, [0, 0, 1]),
                   "squat": (4, [1, 0, 0])}[action]  # fmt: skip
    q[:, joint] = rot.from_axis_angle(np.outer(swing, np.array(axis, float)))
    if action == "walk":
        q[:, 2] = rot.from_axis_angle(np.outer(-swing, [1.0, 0, 0]))
        root[:, 2] = speed * t
    if action == "squat":
        root[:, 1] -= 0.2 * np.abs(swing)
    return q, root


def corpus() -> Iterator[Clip]:
    """32 clips of the four actions, the last four for validation."""
    rng = np.random.default_rng(0)
    for i in range(32):
        action = list(ACTIONS)[i % 4]
        q, root = movement(action, int(rng.integers(24, 60)), float(rng.uniform(0.6, 1.4)))
        words = action.replace("-", " ")
        yield Clip(
            f"clip{i:02d}", Motion(q, root, 20.0), [f"a person does a {words}", f"someone: {words}"],
            *(("bandai1", "CC BY-NC 4.0") if i % 3 else ("deepmimic", "MIT")), "val" if i >= 28 else "train", action,
        )  # fmt: skip


def write_texts(folder: Path) -> None:
    """A caption bank and a handful of requests."""
    folder.mkdir(parents=True)
    bank = {
        "actions": {k.replace("-", "_"): v for k, v in ACTIONS.items()},
        "styles": {"normal": {"adverbs": ["calmly"], "phrases": ["at an even pace"], "person": ["a person"]}},
        "compose": ["{a}, then {b}", "first {a}, afterwards {b}", "{a}, {b}, and finally {c}"],
    }
    (folder / "body_captions.json").write_text(json.dumps(bank))
    requests = [
        ("go for a stroll", "a person walks forward", "walk", None),
        ("greet the king", "a person bows from the waist", "bow", None),
        ("say hi with your right hand", "a person waves with the right hand", "wave_right_hand", "right"),
        ("train your thighs", "a person squats down", "squat", None),
    ]
    rows = [{"prompt": prompt, "plain": [plain], "actions": [key], "styles": [None], "side": side}
            for prompt, plain, key, side in requests]  # fmt: skip
    (folder / "rewrites_train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))


class Mini:
    """Folders of one small pipeline run, and what tests do with them."""

    configs = CONFIGS

    def __init__(self, root: Path) -> None:
        self.root = root
        self.corpus, self.texts, self.store = root / "corpus", root / "texts", root / "store"
        self.tokenizer, self.codes = root / "tokenizer", root / "codes"

    def config(self, kind: str, change: dict[str, Any] | None = None, **train: Any) -> Path:
        """A configuration of `DEBUG` as a file: `change` sets dotted keys, `train` keys of that section.

        A language model goes without its sentence encoder, which takes seconds to load.
        """
        data = resolve(f"{CONFIGS / DEBUG[kind]}")
        first = deepcopy(LANGUAGE) if kind == "language" else {}
        for key, value in {**first, **{f"train.{k}": v for k, v in train.items()}, **(change or {})}.items():
            *sections, last = key.split(".")
            place = data
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value
        text = yaml.safe_dump(data)
        path = self.root / f"{kind}-{zlib.crc32(text.encode()):08x}.yaml"
        path.write_text(text)
        return path

    def language(self, out: Path, *more: object, change: dict[str, Any] | None = None, **train: Any) -> list[str]:
        """Arguments of a language run on the codes, its configuration changed as `config` does."""
        return [str(a) for a in (
            "language", "--config", self.config("language", change, **train), "--tokenizer", self.tokenizer,
            "--codes", self.codes, "--texts", self.texts, *CPU, "-o", out, *more,
        )]  # fmt: skip

    def tokenizer_run(self, out: Path, *more: object, change: dict[str, Any] | None = None, **train: Any) -> list[str]:
        """Arguments of a tokenizer run on the store."""
        config = self.config("tokenizer", change, **train)
        return [str(a) for a in ("tokenizer", "--config", config, "--store", self.store, *CPU, "-o", out, *more)]

    @staticmethod
    def requests(out: Path, *more: object, **train: Any) -> list[str]:
        """Arguments of a short run of the reader of requests, which needs no data; `train` keys are set."""
        flat = [word for key, value in train.items() for word in ("--set", f"train.{key}={value}")]
        config = CONFIGS / DEBUG["requests"]
        return [str(a) for a in ("requests", "--config", config, *CPU, "-o", out, *flat, *more)]

    @staticmethod
    def run(*argv: object) -> None:
        """One stage that must succeed."""
        assert main([str(a) for a in argv]) == 0

    def assert_resumes(self, make: Callable[[Path], list[str]], folder: Path, stop: int = 3) -> None:
        """A run that is stopped and resumed has the weights of one that is not, to the bit."""
        self.run(*make(folder / "parts"), "--until", stop)
        self.run(*make(folder / "parts"))
        self.run(*make(folder / "whole"))
        self.assert_same(self.weights(folder / "whole"), self.weights(folder / "parts"))

    @staticmethod
    def rows(folder: Path, key: str) -> list[float]:
        """All values of one curve of a run's log, in order."""
        log = folder / "log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
        return [row[key] for row in lines if key in row]

    @staticmethod
    def weights(folder: Path) -> dict[str, torch.Tensor]:
        """Weights of the last checkpoint."""
        return torch.load(folder / "checkpoint.pt", weights_only=True)["model"]

    @staticmethod
    def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
        """Equal to the bit."""
        assert a.keys() == b.keys()
        assert [k for k in a if not torch.equal(a[k], b[k])] == []


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Mini:
    """Corpus, store, tokenizer and codes, made by the stages themselves with the debug configurations."""
    m = Mini(tmp_path_factory.mktemp("mini"))
    Store.write(corpus(), m.corpus)
    write_texts(m.texts)
    m.run("prepare", "--corpus", m.corpus, "--texts", m.texts, *COMPOSED, "-o", m.store)
    m.run("tokenizer", "--config", CONFIGS / DEBUG["tokenizer"], "--store", m.store, "-o", m.tokenizer, *CPU)
    m.run("codes", "--tokenizer", m.tokenizer, "--store", m.store, "-o", m.codes, *CPU)
    return m


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a stage that must fail: its one line."""

    def run(*argv: object) -> str:
        capsys.readouterr()
        assert main([str(a) for a in argv]) == 2
        line = capsys.readouterr().err.strip()
        assert line.startswith("error: ") and "\n" not in line
        return line

    return run


def write_t5(folder: Path, lines: list[str], layers: int = 1, spare: int = 0) -> Path:
    """A tiny random Flan-T5 (gated GELU, own head) with a sentencepiece model of the lines."""
    from transformers import T5Config, T5ForConditionalGeneration

    text = TextTokenizer.train(lines, 320, folder)
    torch.manual_seed(0)
    shape = {"d_model": 32, "d_kv": 16, "d_ff": 48, "num_layers": layers, "num_heads": 2, "dropout_rate": 0.0}
    config = T5Config(vocab_size=text.size + spare, feed_forward_proj="gated-gelu", tie_word_embeddings=False,
                      decoder_start_token_id=0, **shape)  # fmt: skip
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder
