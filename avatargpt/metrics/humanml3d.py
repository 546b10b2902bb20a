"""HumanML3D's evaluator (Guo et al. 2022), read from its published files: texts and motions as vectors of one space."""
# Words are GloVe vectors of 300 numbers (Pennington et al. 2014) with one of fifteen classes each: universal parts of
# speech, where words about places, bodies, objects, actions and manners have their own (`WordVectorizer` of their
# code).

import hashlib
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from vqvae.errors import UserError
from vqvae.io.data_files import map_array
from vqvae.io.files import parsing, read_text, regular_file
from vqvae.io.pickles import read_pickle
from vqvae.io.tensors import check_finite, load_checkpoint_file, no_larger_than

UNIT = 4  # frames of one step of the movement encoder
MAX_FRAMES = 196  # of a motion; shorter ones are padded to it


class Crop(NamedTuple):
    """Frames `start` to `start + frames` of a clip."""

    start: int
    frames: int


def draw_crop(frames: int, rng: np.random.Generator) -> Crop:
    """A random part of a clip: whole units of 4 frames, in one of three draws one less, at a random place."""
    if frames < 2 * UNIT:
        raise ValueError(f"{frames} frames; accepted {2 * UNIT} or more")
    units = frames // UNIT - int(rng.integers(3) == 2)
    length = units * UNIT
    return Crop(int(rng.integers(frames - length + 1)), length)


def whole_units(frames: int) -> int:
    """Frames of a generated motion that count: at most 196, in whole units."""
    if frames < UNIT:
        raise ValueError(f"{frames} frames; accepted {UNIT} or more")
    return min(frames, MAX_FRAMES) // UNIT * UNIT


POSE = 259  # HumanML3D's 263 features without the contacts of the feet
DROPOUT, SLOPE = 0.2, 0.2


class PublishedShape(NamedTuple):
    """Sizes of the networks; the defaults are those published."""

    word: int = 300  # of a word's vector
    tags: int = 15  # classes of words
    # width, movement: channels and output of the movement encoder
    width: int = 512
    movement: int = 512
    # text, motion: of the two recurrent layers
    text: int = 512
    motion: int = 1024
    joint: int = 512  # of the common embedding


class MovementEncoder(nn.Module):
    """(B, T, 259) normalised features -> (B, T / 4, movement): two convolutions that halve the frames."""

    def __init__(self, width: int, out: int, pose: int = POSE) -> None:
        super().__init__()
        self.width, self.out = width, out
        self.main = nn.Sequential(
            nn.Conv1d(pose, width, 4, 2, 1), nn.Dropout(DROPOUT), nn.LeakyReLU(SLOPE),
            nn.Conv1d(width, out, 4, 2, 1), nn.Dropout(DROPOUT), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.out_net = nn.Linear(out, out)

    def forward(self, features: Tensor) -> Tensor:
        out: Tensor = self.out_net(self.main(features.transpose(1, 2)).transpose(1, 2))
        return out


class _Recurrent(nn.Module):
    """The last states of a recurrent layer in both directions, through two linear layers."""

    def __init__(self, width: int, joint: int) -> None:
        super().__init__()
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.output_net = nn.Sequential(
            nn.Linear(2 * width, width), nn.LayerNorm(width), nn.LeakyReLU(SLOPE), nn.Linear(width, joint)
        )
        self.hidden = nn.Parameter(torch.randn(2, 1, width))

    def summary(self, rows: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, width), of which row b counts up to `lengths[b]` >= 1 -> (B, joint), in the order of the rows."""
        packed = pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
        begin = self.hidden.expand(-1, len(rows), -1).contiguous()
        _, last = self.gru(packed, begin)
        out: Tensor = self.output_net(torch.cat([last[0], last[1]], -1))
        return out


class TextEncoder(_Recurrent):
    """Words with their classes -> the common embedding."""

    def __init__(self, shape: PublishedShape) -> None:
        super().__init__(shape.text, shape.joint)
        self.pos_emb = nn.Linear(shape.tags, shape.word)
        self.input_emb = nn.Linear(shape.word, shape.text)

    def forward(self, words: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, word) vectors, (B, L, tags) one-hot classes, (B,) words that count -> (B, joint)."""
        return self.summary(self.input_emb(words + self.pos_emb(tags)), lengths)


class MotionEncoder(_Recurrent):
    """Movements -> the common embedding."""

    def __init__(self, shape: PublishedShape) -> None:
        super().__init__(shape.motion, shape.joint)
        self.input_emb = nn.Linear(shape.movement, shape.motion)

    def forward(self, movements: Tensor, lengths: Tensor) -> Tensor:
        """(B, L, movement), (B,) movements that count -> (B, joint)."""
        return self.summary(self.input_emb(movements), lengths)


class MatchingNetwork(nn.Module):
    """The three encoders."""

    def __init__(self, shape: PublishedShape) -> None:
        super().__init__()
        self.shape = shape
        self.movement_encoder = MovementEncoder(shape.width, shape.movement)
        self.text_encoder = TextEncoder(shape)
        self.motion_encoder = MotionEncoder(shape)

    def of_text(self, words: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """See `TextEncoder.forward`."""
        out: Tensor = self.text_encoder(words, tags, lengths)
        return out

    def of_motion(self, features: Tensor, frames: Tensor) -> Tensor:
        """(B, 196, 263) normalised features, zero behind their end, and (B,) frames that count -> (B, joint)."""
        movements = self.movement_encoder(features[..., :POSE])
        out: Tensor = self.motion_encoder(movements, frames // UNIT)
        return out

    def forward(
        self, words: Tensor, tags: Tensor, lengths: Tensor, features: Tensor, frames: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both embeddings, see `of_text` and `of_motion`."""
        return self.of_text(words, tags, lengths), self.of_motion(features, frames)


def shape_of(state: Mapping[str, Tensor]) -> PublishedShape:
    """The sizes that the weights of a `MatchingNetwork` were made with."""
    text, motion = state["text_encoder.input_emb.weight"], state["motion_encoder.input_emb.weight"]
    return PublishedShape(
        text.shape[1], state["text_encoder.pos_emb.weight"].shape[1], len(state["movement_encoder.main.0.bias"]),
        motion.shape[1], text.shape[0], motion.shape[0], len(state["text_encoder.output_net.3.bias"]),
    )  # fmt: skip


TAGS = (
    "VERB", "NOUN", "DET", "ADP", "NUM", "AUX", "PRON", "ADJ", "ADV", "Loc_VIP", "Body_VIP", "Obj_VIP", "Act_VIP",
    "Desc_VIP", "OTHER",
)  # fmt: skip
OTHER = TAGS.index("OTHER")
# Class -> the words that are of it whatever part of speech they were tagged as.
WORDS_OF_CLASS = {
    "Loc_VIP": "left right clockwise counterclockwise anticlockwise forward back backward up down straight curve",
    "Body_VIP": "arm chin foot feet face hand mouth leg waist eye knee shoulder thigh",
    "Obj_VIP": "stair dumbbell chair window floor car ball handrail baseball basketball",
    "Act_VIP": "walk run swing pick bring kick put squat throw hop dance jump turn stumble stop sit lift lower raise "
    "wash stand kneel stroll rub bend balance flap jog shuffle lean rotate spin spread climb",
    "Desc_VIP": "slowly carefully fast careful slow quickly happy angry sad happily angrily sadly",
}
MAX_WORDS = 20
PLACES = MAX_WORDS + 2  # with the marks of beginning and end
BEGIN, END, UNKNOWN = "sos", "eos", "unk"
FILES = ("our_vab_data.npy", "our_vab_words.txt", "our_vab_words.pkl", "our_vab_idx.pkl")
ACCEPTED = f"accepted: {FILES[0]} (words, 300) with {FILES[1]} (a word a line, in its order) or with {FILES[3]}"
MAX_BYTES = 64 << 20
DIM = POSE + 4  # of the features that motions come in
BATCH = 128
CHECKPOINTS = ("finest.tar", "text_mot_match/model/finest.tar")
STATISTICS = (".", "Comp_v6_KLD01/meta", "meta")
VOCABULARIES = (".", "glove", "../glove", "../../glove")
PARTS = ("movement_encoder", "text_encoder", "motion_encoder")
T = TypeVar("T")


class WordArrays(NamedTuple):
    """Texts as arrays: `vectors` (N, 22, 300) float32, `tags` (N, 22, 15) float32 one-hot, `lengths` (N,) int64."""

    vectors: np.ndarray
    tags: np.ndarray
    lengths: np.ndarray


class WordVectors:
    """Words with their vectors. `words`: distinct. `vectors`: (words, D) float32."""

    def __init__(self, words: Sequence[str], vectors: np.ndarray, where: str = "vocabulary") -> None:
        x = np.ascontiguousarray(vectors, np.float32)
        if x.ndim != 2 or len(x) != len(words) or not np.isfinite(x).all():
            raise UserError(f"{where}: {len(words)} words and vectors {x.shape}; accepted: a row of numbers for each")
        self.words, self.vectors = list(words), x
        self.rows = {w: i for i, w in enumerate(self.words)}
        if len(self.rows) != len(self.words):
            raise UserError(f"{where}: a word twice; accepted: distinct words")
        if UNKNOWN not in self.rows:
            raise UserError(f"{where}: no word {UNKNOWN!r} for all that are unknown; accepted: a vocabulary with it")
        self.classes = {w: TAGS.index(tag) for tag, listed in WORDS_OF_CLASS.items() for w in listed.split()}

    def look_up(self, token: str) -> tuple[int, int]:
        """Row and class of a ``word/TAG``; what is not in the vocabulary is ``unk`` of the class OTHER."""
        word, _, tag = token.rpartition("/")
        row = self.rows.get(word)
        if row is None:
            return self.rows[UNKNOWN], OTHER
        tag_of_word = self.classes.get(word)
        return row, tag_of_word if tag_of_word is not None else TAGS.index(tag) if tag in TAGS else OTHER

    def encode(self, texts: Sequence[Sequence[str]]) -> WordArrays:
        """Texts of ``word/TAG`` tokens -> arrays: at most 20 words between marks of beginning and end, then ``unk``."""
        rows = np.zeros((len(texts), PLACES), np.int64)
        tags = np.zeros((len(texts), PLACES, len(TAGS)), np.float32)
        lengths = np.zeros(len(texts), np.int64)
        for i, tokens in enumerate(texts):
            marked = [f"{BEGIN}/OTHER", *tokens[:MAX_WORDS], f"{END}/OTHER"]
            lengths[i] = len(marked)
            for k, token in enumerate([*marked, *[f"{UNKNOWN}/OTHER"] * (PLACES - len(marked))]):
                rows[i, k], tag = self.look_up(token)
                tags[i, k, tag] = 1
        return WordArrays(self.vectors[rows], tags, lengths)


def read_vocabulary(folder: Path) -> WordVectors:
    """The published vocabulary: ``our_vab_data.npy`` with the words beside it.

    Words are taken from ``our_vab_words.txt`` where it is there; else rows are those of ``our_vab_idx.pkl``, which is
    read as data and not unpickled (`vqvae.io.data_files`); ``our_vab_words.pkl``, if there, says which words count.
    """
    path = folder / FILES[0]
    vectors = map_array(path, ACCEPTED)
    listed = folder / FILES[1]
    if listed.is_file():
        return WordVectors(read_text(listed, MAX_BYTES).removesuffix("\n").split("\n"), vectors, str(path))
    index = read_pickle(folder / FILES[3], ACCEPTED)
    if not isinstance(index, dict) or not all(isinstance(k, str) and type(v) is int for k, v in index.items()):
        raise UserError(f"{folder / FILES[3]}: not a table of words and rows; {ACCEPTED}")
    words = list(index)
    if (folder / FILES[2]).is_file():
        words = read_pickle(folder / FILES[2], ACCEPTED)
        if not isinstance(words, list) or not all(isinstance(w, str) and w in index for w in words):
            raise UserError(f"{folder / FILES[2]}: not a list of words of {FILES[3]}; {ACCEPTED}")
        words = list(dict.fromkeys(words))
    rows = np.array([index[w] for w in words], np.int64)
    if len(rows) and not (rows.min() >= 0 and rows.max() < len(vectors)):
        raise UserError(f"{folder / FILES[3]}: row {rows.max()} of {len(vectors)}; {ACCEPTED}")
    return WordVectors(words, np.asarray(vectors)[rows], str(path))


class Evaluator:
    """Trained networks with what their inputs are normalised by."""

    def __init__(
        self, network: MatchingNetwork, mean: np.ndarray, std: np.ndarray, vocabulary: WordVectors,
        device: str | torch.device = "cpu", where: str = "evaluator",
    ) -> None:  # fmt: skip
        self.mean, self.std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
        if self.mean.shape != (DIM,) or self.std.shape != (DIM,):
            raise UserError(f"{where}: mean {self.mean.shape} and std {self.std.shape}; accepted ({DIM},) both")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise UserError(f"{where}: a mean or deviation that is no number, or none above zero; accepted: those")
        if network.shape.word != vocabulary.vectors.shape[1] or network.shape.tags != len(TAGS):
            raise UserError(f"{where}: vectors of {vocabulary.vectors.shape[1]} numbers and {len(TAGS)} classes; "
                            f"accepted: {network.shape.word} and {network.shape.tags}")  # fmt: skip
        self.network, self.vocabulary = network.to(device).eval(), vocabulary
        self.device = torch.device(device)

    @torch.inference_mode()
    def embed_texts(self, texts: Sequence[Sequence[str]], batch: int = BATCH) -> np.ndarray:
        """Texts as ``word/TAG`` tokens -> (N, joint) float32, in their order; `batch` at a time."""
        out = [np.zeros((0, self.network.shape.joint), np.float32)]
        for group in _split_batches(texts, batch):
            words = self.vocabulary.encode(group)
            rows = (torch.from_numpy(x).to(self.device) for x in words)
            out.append(self.network.of_text(*rows).cpu().numpy())
        return np.concatenate(out)

    @torch.inference_mode()
    def embed_motions(self, motions: Iterable[np.ndarray], batch: int = BATCH) -> np.ndarray:
        """Motions as (T, 263) features of HumanML3D, T 4 to 196 -> (N, joint) float32, in their order.

        Each is padded to 196 frames, as published, whatever stands beside it: the convolutions look one frame beyond a
        motion's end, so that another padding would give other vectors.
        """
        out = [np.zeros((0, self.network.shape.joint), np.float32)]
        for group in _split_batches(motions, batch):
            features = torch.zeros(len(group), MAX_FRAMES, DIM)
            for row, motion in zip(features, group, strict=True):
                x = np.asarray(motion, np.float64)
                if x.ndim != 2 or x.shape[1] != DIM or not np.isfinite(x).all() or not UNIT <= len(x) <= MAX_FRAMES:
                    raise ValueError(f"features {x.shape}; accepted (T, {DIM}), finite, T from {UNIT} to {MAX_FRAMES}")
                row[: len(x)] = torch.from_numpy(((x - self.mean) / self.std).astype(np.float32))
            frames = torch.tensor([len(m) for m in group])
            out.append(self.network.of_motion(features.to(self.device), frames.to(self.device)).cpu().numpy())
        return np.concatenate(out)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that embeddings depend on."""
        tensors = {
            **self.network.state_dict(), "mean": torch.from_numpy(self.mean), "std": torch.from_numpy(self.std),
            "vectors": torch.from_numpy(self.vocabulary.vectors),
        }  # fmt: skip
        digest = hashlib.sha256("\n".join(self.vocabulary.words).encode())
        for name, tensor in sorted(tensors.items()):
            digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


# Lists of up to `size` rows (Python 3.12 has its own).
def _split_batches(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    left = iter(rows)
    while batch := list(islice(left, size)):
        yield batch


def load_evaluator(folder: str | os.PathLike[str], device: str | torch.device = "cpu") -> Evaluator:
    """The published evaluator, from the folder ``t2m`` of its download.

    ``text_mot_match/model/finest.tar`` is read by torch with ``weights_only`` (nothing in it is called), mean and
    deviation are ``Comp_v6_KLD01/meta/mean.npy`` and ``std.npy``, the vocabulary (`read_vocabulary`) lies in
    ``glove`` in the folder or up to two folders above it. All three may also lie in the folder itself.

    Raises:
        UserError: a file is missing, damaged, or of other networks.
    """
    here = Path(folder)
    if not any((here / name).exists() for name in CHECKPOINTS):
        raise UserError(f"{here}: no evaluator; accepted: a folder with the published {CHECKPOINTS[1]}")
    path = next(here / name for name in CHECKPOINTS if (here / name).exists())
    with parsing(path, "a checkpoint of torch without anything but tensors"):
        if zipfile.is_zipfile(regular_file(path)):
            saved = load_checkpoint_file(path, torch.device("cpu"))
        else:  # the format before torch 1.6
            saved = torch.load(path, map_location="cpu", weights_only=True)
            if not isinstance(saved, dict):
                raise ValueError(f"a {type(saved).__name__}")
            check_finite(path, saved)
    with parsing(path, "a checkpoint of text_mot_match"):
        state = {f"{part}.{name}": tensor.float() for part in PARTS for name, tensor in saved[part].items()}
        with no_larger_than(state):
            network = MatchingNetwork(shape_of(state))
        network.load_state_dict(state)
    meta = _first_folder(here, STATISTICS, lambda p: (p / "mean.npy").is_file(), "mean.npy with std.npy")
    glove = _first_folder(here, VOCABULARIES, lambda p: (p / FILES[0]).is_file(), "our_vab_data.npy")
    mean, std = (np.array(map_array(meta / f"{name}.npy")) for name in ("mean", "std"))
    return Evaluator(network, mean, std, read_vocabulary(glove), device, str(meta))


def _first_folder(folder: Path, names: tuple[str, ...], there: Any, what: str) -> Path:
    for name in names:
        if there(folder / name):
            return folder / name
    raise UserError(f"{folder}: no {what}; accepted in {', '.join(str(folder / name) for name in names)}")
