"""Small models of random weights, made-up speech, and stand-ins that several tests share."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.network import DriverConfig, DriverNetwork
from avatargpt.face.audio_model.visemes import STYLE, phone_track, viseme_curves
from avatargpt.face.instructions.network import ParserConfig, ParserNetwork
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.llm.model import Completion, Question
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.speech.alignment import SoundScores
from avatargpt.speech.audio import FPS, RATE, frames_in
from avatargpt.speech.features import WIDTH as FEATURES
from avatargpt.speech.features import extract
from avatargpt.speech.phone_times import with_visemes
from avatargpt.speech.phones import ARPABET, Phone
from avatargpt.speech.pronouncing import transcript_words
from avatargpt.speech.words import Word, Words
from avatargpt.train.data.examples import Examples, Rows
from avatargpt.train.speech_data.corpus import SpeechClip
from instruct_data.face.score import OWN, Score, read_instructions
from tests.vqvae import rigs
from vqvae import rotations as rot
from vqvae.features import STANDING
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22
from vqvae.tokenizer import MotionTokenizer, TokenizerConfig

LEVELS, CODES = 3, 24
SIZES = {"codebook_size": CODES, "levels": LEVELS, "code_dim": 6}


def random_tokenizer(modality: str, seed: int, std: float, mean: float = 0.0, **sizes: int) -> MotionTokenizer:
    """A tokenizer with random codebooks; `mean`, `std`: of its features."""
    torch.manual_seed(seed)
    tokenizer = MotionTokenizer(TokenizerConfig(modality=modality, width=16, fine_width=8, **{**SIZES, **sizes}))
    for layer in tokenizer.vq.layers:
        layer._codebook.embed.data.normal_()
        layer._codebook.initted.fill_(True)
    tokenizer.mean.fill_(mean)
    tokenizer.std.fill_(std)
    return tokenizer.eval()


def body_tokenizer(seed: int = 0, std: float = 0.3) -> MotionTokenizer:
    return random_tokenizer("body", seed, std)


def tiny_config(text: TextTokenizer, codebook: int, modality: str = "body", levels: int = 2) -> AvatarGPTConfig:
    """The shape of a model of one narrow layer for one modality, whose codes have `codebook` entries."""
    codes = {"codebook_size": codebook, "levels": levels, "code_dim": 4}
    return AvatarGPTConfig(vocab_size=text.size, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2,
                           modalities={modality: codes})  # fmt: skip


def language_model(
    text: TextTokenizer, tokenizers: dict[str, MotionTokenizer], modalities: dict[str, dict[str, int]], seed: int = 1
) -> AvatarGPTModel:
    """A language model of one layer for texts and the tokenizers' motions."""
    config = AvatarGPTConfig(
        vocab_size=text.size, d_model=32, d_kv=8, d_ff=48, num_layers=1, num_heads=4, refiner_dim=16, refiner_layers=1,
        refiner_heads=2, modalities=modalities,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = AvatarGPTModel(config)
    for name in modalities:
        model.set_codebooks(name, tokenizers[name].codebooks, tokenizers[name].fingerprint)
    return model.eval()


def body_model(text: TextTokenizer, tokenizer: MotionTokenizer) -> AvatarGPTModel:
    return language_model(text, {"body": tokenizer}, {"body": SIZES})


class RecordedModel:
    """A back end of language models: answers in turn, the last one for good; an exception is raised."""

    name, fingerprint = "recorded", "recorded"

    def __init__(self, *answers: Any, local: bool = False) -> None:
        self.answers, self.local, self.loaded = list(answers), local, 0
        self.questions: list[Any] = []

    def ready(self) -> None:
        self.loaded += 1

    def complete(self, question: Question, stop: Any) -> Completion:
        self.questions.append(question.messages)
        answer = self.answers[min(len(self.questions), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return Completion(answer if isinstance(answer, str) else json.dumps(answer))


def marching(frames: int = 80, fps: float = 20.0) -> Motion:
    """Somebody who steps on the spot with bent knees, each foot in turn; the one that stands keeps its place, flat."""
    t = np.arange(frames) / fps
    thigh, shin = (-float(SMPL22.offsets[SMPL22.index(f"l_{n}")][1]) for n in ("knee", "ankle"))
    hip = 0.4 + 0.15 * np.sin(3 * t)  # of the leg that stands; the ankle is below the hip
    lower = np.arcsin(thigh * np.sin(hip) / shin)
    q = rot.identity((frames, 22))
    for side, sign in (("l", 1), ("r", -1)):
        raised = 0.6 * np.clip(sign * np.sin(2.5 * t), 0, 1)
        angles = {"hip": -hip - raised, "knee": hip + lower + 1.5 * raised, "ankle": -lower}
        for joint, angle in angles.items():
            q[:, SMPL22.index(f"{side}_{joint}")] = rot.from_axis_angle(angle[:, None] * [1.0, 0, 0])
        q[:, SMPL22.index(f"{side}_shoulder")] = rot.from_axis_angle(
            np.stack([0.5 * np.sin(2.5 * t), 0 * t, 0 * t - 1.2 * sign], -1)
        )
    standing = STANDING[1] - (thigh + shin) + thigh * np.cos(hip) + shin * np.cos(lower)
    return Motion(q, np.stack([0 * t, standing, 0 * t], -1), fps, caption="a person marches")


def write_character(path: Path, **shares: float) -> Path:
    """A child with a big head, long thighs and arms 45 degrees down, as Mixamo would have it, in centimetres; a .glb or
    .vrm with a movement, a material and extras of its own, below a node that scales. `shares`: of our bones, by joint.
    """
    rig = rigs.as_rig(rigs.motion(3), rigs.MIXAMO, 45.0, scale=1.0 if path.suffix != ".bvh" else 100.0)
    offsets, scale = rig.offsets.copy(), np.ones((22, 1))
    child = {"hip": 1.4, "knee": 0.6, "ankle": 0.45, "foot": 0.6, "elbow": 0.6, "wrist": 0.55}
    for name, share in (child | shares).items():
        scale[[SMPL22.index(f"{side}_{name}") for side in "lr"]] = share
    scale[SMPL22.index("head")] = 1.6
    offsets *= scale
    places = np.repeat(offsets[None], len(rig.rotations), 0)
    places[:, 0] = rig.translations[:, 0] * 0.55
    # at rest on the floor, as the mesh is
    if path.suffix != ".bvh":
        offsets[0] = [0, -sum(offsets[SMPL22.index(f"l_{n}")][1] for n in ("hip", "knee", "ankle", "foot")) + 0.02, 0]
    rig = replace(rig, offsets=offsets, translations=places)
    if path.suffix == ".bvh":
        path.write_text(rigs.bvh_text(rig))
        return path
    lying = rot.from_axis_angle(np.array([-np.pi / 2, 0, 0]))
    file = rigs.GltfFile({"Idle": rig}, rigs.bone_axes(), lying, 0.01)
    file.gltf |= {"materials": [{"name": "skin", "alphaCutoff": 0.30000001}], "extras": {"author": "\u00e9"},
                  "extensionsUsed": ["X_made"], "extensions": {"X_made": {"deep": [1, {"a": None}]}}}  # fmt: skip
    return file.save(path.with_suffix(".glb")).rename(path)


class CountingGrounder:
    """Sentence vectors that count known words, with a constant: near texts share words."""

    def __init__(self, words: str, constant: float) -> None:
        self.words, self.constant = words.split(), constant

    def sentence(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.array([[*(float(w in t) for w in self.words), self.constant] for t in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def phones_at(text: str) -> list[Phone]:
    """``T 0.3 S 0.4 | 0.55``: names, each with its start, up to the end after the bar."""
    parts = text.split()
    starts = [float(x) for x in parts[1::2]]
    return [Phone(n, a, b) for n, a, b in zip(parts[::2], starts, starts[1:], strict=False)]


PHONES = phones_at("M 0.3 AA 0.4 P 0.6 IY 0.7 F 0.86 UW 0.96 S 1.2 AE 1.32 | 1.52")
HELLO_WORDS = Words(
    (
        Word("hello", 0.1, 0.5, (Phone("HH", 0.1, 0.2), Phone("AH", 0.2, 0.25, 0), Phone("L", 0.25, 0.3),
                                 Phone("OW", 0.3, 0.5, 1)), 0.9),
        Word("there", 0.5, 0.8), Word("you", 1.2, 1.4),
    ), 2.0, "test",
)  # fmt: skip
TEXT = "Walk over to the window, please. Now wave at everybody who is passing by!"


def voice(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A buzz with syllables and a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 12)) * (1 + np.sin(2 * np.pi * 4 * t)) * 0.05
    return np.asarray(wave + 0.002 * rng.standard_normal(len(t)), np.float32)


@cache
def speech_clip(split: str = "train", kind: str = "taught", seed: int = 0) -> SpeechClip:
    """Two seconds of `PHONES`, with the curves that the rules make of them."""
    sound = voice(2.0, seed=seed)
    taught = viseme_curves(PHONES, frames_in(len(sound), RATE))
    times = [[p.name, p.start, p.end] for p in PHONES]
    return SpeechClip(
        extract(sound, RATE), taught.curves, taught.phones, np.zeros(len(STYLE), np.float32), kind, split,
        f"{'pairs' if kind == 'paired' else 'made'}/{seed}", times,
    )  # fmt: skip


def phone_scores(phones: list[Phone], frames: int, unsure: float = 0.15, seed: int = 0) -> np.ndarray:
    """Log-probabilities (2 T, phones) that favour the true phone, but for a share of steps without any preference."""
    rng = np.random.default_rng(seed)
    p = rng.random((2 * frames, len(ARPABET))) * 0.02
    p[np.arange(2 * frames), phone_track(phones, frames).ravel()] += 0.8
    p[rng.random(2 * frames) < unsure] = 1 / len(ARPABET)
    scores: np.ndarray = np.log(p / p.sum(1, keepdims=True))
    return scores


def sound_scores(text: str, gap: float = 0.3) -> tuple[SoundScores, list[float]]:
    """Phone scores of a text spoken at 12 phones a second, with a pause at each mark, and its words' onsets."""
    t, phones, onsets = gap, list[Phone](), []
    for word in transcript_words(text):
        onsets.append(t)
        for name in word.pronunciations[0]:
            phones.append(Phone(name.rstrip("012"), t, t + 1 / 12))
            t += 1 / 12
        t += gap if word.pause else 0.0
    frames = round((t + gap) * FPS)
    scores = with_visemes(phone_scores(phones, frames, 0.05))
    return SoundScores(np.zeros((frames, FEATURES), np.float32), scores), onsets


def standing_figures(**changes: Any) -> dict[str, Any]:
    """Measurements (`Measures.figures`) of somebody who stands, but for some."""
    blank = dict.fromkeys(("through", "kneel", "direction", "support", "hand"), "")
    return {**blank, "start": "standing", "end": "standing", "distance": 0.0, "turn": 0.0, "rise": 0.0, "rest": 0.5,
            "speed": 1.0, "extent": 1.0, **changes}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One training example, read from the arrays: words of the prompt (``#`` for each token of motion), the first codes
    of its motions and of its answer (empty where it is words), the answer's words, the text for the sentence encoder.
    """

    prompt: str
    motions: list[list[int]]
    codes: list[int]
    answer: str
    ground: str
    length: int
    head: str
    task: str
    positive: int
    attributes: dict[str, str]  # symbols of the prompt
    end: int  # id behind the answer


def rows_of(examples: Examples, rows: Rows) -> list[Row]:
    """Training examples as they read."""
    config, out = examples.config, []
    written = [t for t in examples.wording.texts if "=" in t]
    symbols = {examples.text.symbol(t): t for t in written if examples.text.symbol(t) is not None}
    for n in range(len(rows)):
        span = slice(rows.starts[n], rows.starts[n] + rows.sources[n])
        ids, places = rows.ids[span], rows.places[span]
        answer = rows.answers[rows.answer_starts[n] : rows.answer_starts[n] + rows.targets[n]]
        head, first, levels = config.heads[rows.head[n]], rows.codes[n], examples.clips.codes
        codes = levels[first : first + len(answer) - 1, 0].tolist() if first >= 0 else []
        if first >= 0:
            assert (answer[:-1] - config.first_id(head)).tolist() == codes
        parts, motions = [], list[list[int]]()
        for is_motion, group in groupby(enumerate((places >= 0).tolist()), itemgetter(1)):
            at = [i for i, _ in group]
            if is_motion:
                motions.append(levels[places[at], 0].tolist())
                assert (np.diff(places[at]) == 1).all()
            parts.append("#" * len(at) if is_motion else examples.text.decode(ids[at]))
        out.append(Row(
            " ".join(parts), motions, codes, "" if first >= 0 else examples.text.decode(answer[:-1]),
            examples.wording.texts[rows.ground[n]] if rows.ground[n] >= 0 else "", int(rows.length[n]), head,
            examples.tasks[rows.task[n]], int(rows.positive[n]),
            dict(symbols[i].split("=") for i in ids if i in symbols), int(answer[-1]),
        ))  # fmt: skip
    return out


def drawn_rows(examples: Examples, stream: str, count: int, seed: int = 0) -> list[Row]:
    """So many rows of one stream, its entries in turn, and the rows that deny them."""
    number = [s.task for s in examples.streams()].index(stream)
    entries = np.arange(count) % len(examples.streams()[number].classes)
    return rows_of(examples, examples.make(np.full(count, number), entries, (seed,)))


class RandomGrounder:
    """A grounder without a network: each word is a fixed random vector."""

    def states(self, texts: list[str]) -> list[np.ndarray]:
        return [np.stack([self._vector(w) for w in t.split()]) for t in texts]

    def sentence(self, texts: list[str]) -> np.ndarray:
        pooled = np.stack([s.mean(0) for s in self.states(texts)])
        return pooled / np.linalg.norm(pooled, axis=1, keepdims=True)

    def _vector(self, word: str) -> np.ndarray:
        return np.random.default_rng([ord(c) for c in word]).standard_normal(384).astype(np.float32)


def small_driver() -> Driver:
    """Random weights with open gates, so that every part has a say."""
    torch.manual_seed(0)
    config = DriverConfig(width=24, hidden=32, dilations=[1, 2, 4], text_width=16, inject=2, gates="open")
    network = DriverNetwork(config)
    with torch.no_grad():
        for head in (network.curves, network.paired):
            head.weight.normal_(std=0.3)
            head.bias.fill_(0.3)
        with torch.random.fork_rng():
            network.grow(config.replace_fields(told=True))
        network.told.weight.normal_(generator=torch.Generator().manual_seed(5))
    return Driver(network)


def small_parser(lengths: bool = False, **about: Any) -> InstructionParser:
    """A parser with random weights, always the same."""
    torch.manual_seed(1)
    shape = ParserConfig(width=16, hidden=16, heads=2, decoder=1, layers=[6], rank=0, lengths=lengths, **about)
    return InstructionParser(ParserNetwork(shape))


def written_scores(count: int) -> list[Score]:
    """The first of our written instructions."""
    return [row.score for row in list(read_instructions(OWN))[:count]]
