"""Weights with NaN are named when they are loaded, whichever file holds them; other makers' files by their digest."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from avatargpt import resources
from avatargpt.face.audio_model.driver import Driver
from avatargpt.face.audio_model.upper import load_upper
from avatargpt.face.instructions.parser import InstructionParser
from avatargpt.face.portrait import Portrait
from avatargpt.gesture.network import GestureDriver
from avatargpt.gesture.semantics import GestureBank
from avatargpt.lm.checkpoint import load_network
from avatargpt.lm.scorer import TextMotionScorer
from avatargpt.lm.text_encoder import encoder_weights
from avatargpt.metrics.evaluator import MotionEvaluator
from avatargpt.metrics.gesture_features import GestureFeatureEncoder
from avatargpt.planning.consequences import Consequences
from avatargpt.planning.kinds import KindReader
from avatargpt.planning.library import PlanLibrary
from avatargpt.reading.store import load_network as load_reading
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.reader import RequestReader
from avatargpt.video.body_network import FilmReader
from avatargpt.video.film_words import FilmWords
from vqvae.errors import UserError
from vqvae.io.tensors import check_finite, load_checkpoint_file
from vqvae.tokenizer import MotionTokenizer

LOADERS: dict[str, Callable[[Path], object]] = {
    "body/tokenizer.safetensors": MotionTokenizer.load,
    "consequences.safetensors": Consequences.load,
    "driver/driver.safetensors": Driver.load,
    "driver/paired.safetensors": Driver.load,
    "driver/reader.safetensors": InstructionParser.load,
    "driver/upper.safetensors": load_upper,
    "evaluator.safetensors": MotionEvaluator.load,
    "face_language/face/tokenizer.safetensors": MotionTokenizer.load,
    "face_language/model.int8.safetensors": load_network,
    "film_bodies.safetensors": FilmReader.load,
    "film_words.safetensors": FilmWords.load,
    "gesture/bank.safetensors": GestureBank.load,
    "gesture/gesture.safetensors": GestureDriver.load,
    "gesture/gesture_features.safetensors": GestureFeatureEncoder.load,
    "gesture/tokenizer.safetensors": MotionTokenizer.load,
    "kinds.safetensors": KindReader.load,
    "matcher.safetensors": TextMotionScorer.load,
    "model.int8-2.safetensors": load_network,
    "model.int8.safetensors": load_network,
    "planning.safetensors": PlanLibrary.load,
    "portrait/portrait.safetensors": Portrait.load,
    "reading-2.safetensors": load_reading,
    "reading-turn.safetensors": lambda folder: load_reading(folder).of_task("turn"),  # type: ignore[union-attr]
    "reading.safetensors": load_reading,
    "requests.safetensors": RequestReader.load,
    "wording.safetensors": PhraseIndex.load,
}


def test_every_packaged_file_has_its_loader_here() -> None:
    folder = resources.weights()
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*.safetensors")} == {*LOADERS}


@pytest.mark.parametrize("name", LOADERS)
def test_nan_is_named(name: str, tmp_path: Path) -> None:
    """A copy of the packaged file with one NaN, beside the other files of its folder."""
    from safetensors import safe_open

    source = resources.weights() / name
    for beside in source.parent.iterdir():
        if beside.is_file() and beside != source:
            (tmp_path / beside.name).symlink_to(beside)
    with safe_open(source, "pt") as file:
        about = file.metadata()
    state = load_file(source)
    key = [k for k, v in sorted(state.items()) if v.is_floating_point()][-1]
    state[key].view(-1)[-1] = torch.nan
    save_file(state, tmp_path / source.name, about)
    with pytest.raises(UserError) as refused:
        LOADERS[name](tmp_path)
    assert str(refused.value) == f"{tmp_path / source.name}: NaN in {key}; accepted: finite weights"


def test_tables_arrays_and_infinity(tmp_path: Path) -> None:
    """As in checkpoints of training and in files of NumPy's arrays; whole numbers and texts are let through."""
    good = {"model": {"a": torch.zeros(2), "n": torch.tensor([3]), "none": torch.zeros(0)}, "step": 4, "best": np.inf}
    torch.save(good, tmp_path / "good.pt")
    load_checkpoint_file(tmp_path / "good.pt", torch.device("cpu"))
    torch.save({**good, "optimizer": {"state": {0: {"sums": torch.tensor([1.0, torch.nan])}}}}, tmp_path / "bad.pt")
    with pytest.raises(UserError, match=r"bad\.pt: NaN in optimizer\.state\.0\.sums"):
        load_checkpoint_file(tmp_path / "bad.pt", torch.device("cpu"))
    with pytest.raises(UserError, match="x: infinity in b"):
        check_finite("x", {"a": np.zeros(2, np.float16), "b": np.array([-np.inf, 1], np.float32)})
    with pytest.raises(UserError, match="x: infinity in c"):
        check_finite("x", {"c": torch.tensor([torch.inf], dtype=torch.bfloat16)})


@pytest.fixture
def fresh() -> Iterator[None]:
    resources.sentence_model_file.cache_clear()
    yield
    resources.sentence_model_file.cache_clear()


def test_the_sentence_encoder_is_known_by_its_digest(tmp_path: Path, monkeypatch, fresh) -> None:
    """Of the package, or without it of a folder; another file in its place is refused."""
    real = resources.sentence_model_file("model.safetensors")
    folder = tmp_path / resources.SENTENCE_MODEL
    monkeypatch.setenv(resources.MODELS, str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    resources.sentence_model_file.cache_clear()
    with pytest.raises(UserError, match=r"all-MiniLM-L6-v2.model\.safetensors: the sentence encoder is missing"):
        encoder_weights()
    folder.mkdir()
    (folder / real.name).symlink_to(real)
    assert resources.sentence_model_file(real.name) == folder / real.name
    resources.sentence_model_file.cache_clear()
    (folder / real.name).unlink()
    (folder / real.name).write_bytes(real.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match=r"not the model\.safetensors of all-MiniLM-L6-v2 \(SHA-256 [0-9a-f]{64}\)"):
        encoder_weights()
