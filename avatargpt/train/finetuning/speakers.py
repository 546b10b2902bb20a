"""`avatargpt finetune` for one speaker: recorded sound with a face or a body -> that speaker's lips or gestures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from avatargpt.face.audio_model.driver import OWN, Driver, list_paired_channels
from avatargpt.face.audio_model.network import DriverNetwork
from avatargpt.gesture.features import prosody
from avatargpt.gesture.network import NAME, GestureDriver, RowContents
from avatargpt.gesture.word_encoders import word_encoder
from avatargpt.metrics.face import correlation
from avatargpt.speech.features import extract
from avatargpt.speech.word_files import read as read_words
from avatargpt.train.audio_model import DriverRecipe, DriverStage, DriverTraining
from avatargpt.train.finetuning.clips import Recording, read_recordings
from avatargpt.train.finetuning.films import films_of, record, sources
from avatargpt.train.finetuning.run import EarlyStopping, Finetuning
from avatargpt.train.gesture.data import FILE, GestureSampling, Take, load_corpus, save_corpus
from avatargpt.train.gesture.rows import motion_rows, voice_rows, with_end_held_out
from avatargpt.train.gesture.training import GestureRecipe, GestureStage, GestureTraining
from avatargpt.train.runtime import Runtime
from avatargpt.train.speech_data.batches import SpeechSampling
from avatargpt.train.speech_data.corpus import SpeechClip
from avatargpt.train.speech_data.validation import predict
from vqvae.arkit import INDEX, NAMES, expand
from vqvae.errors import UserError
from vqvae.features import GestureFeatures

DRIVER, TAKES, RECORDINGS = "driver", "takes", "recordings"
WORD_FILES = (".TextGrid", ".ctm", ".srt", ".vtt")  # without one of them only the sound is heard
ERROR, NATS = "val_error", "val_nats"
MOVES = 0.05  # largest weight of a channel that counts as measured: captures leave what they cannot see at zero
FEATURES = {"jaw": ("jawOpen",), "smile": ("mouthSmile",), "brows": ("browInnerUp", "browOuterUp", "browDown")}


class SpeakerFinetuning(Finetuning):
    """One that takes sounds with their motion, or films of a speaker."""

    kinds: ClassVar[tuple[str, ...]]  # modalities of the motion that goes with a sound
    suffixes: ClassVar[tuple[str, ...]]  # of its files, and of further ones beside it
    beside: ClassVar[tuple[str, ...]] = ()

    def read(self) -> list[Path]:
        self.notify("reading")
        self.films = films_of(self.folder)  # none where there are sounds with motion files
        if self.films:
            return sources(self.films, self.modality, self.folder)
        self.recordings = read_recordings(self.folder, self.kinds, self.suffixes, self.beside)
        return [f for r in self.recordings for f in r.files]

    def prepare(self) -> None:
        if self.films:
            record(self.films, self.modality, self.work / RECORDINGS, self.notify, self.folder)
            self.recordings = read_recordings(self.work / RECORDINGS, self.kinds, self.suffixes)


class FaceStage(EarlyStopping, DriverStage):
    """The driver stage on recordings, validated on their held-out ends; see `avatargpt.train.stage.Stage`."""

    def __init__(self, recipe: DriverRecipe, clips: Sequence[SpeechClip], runtime: Runtime, start: Driver) -> None:
        take_channels(start.network, [c.curves for c in clips if c.kind == "paired" and c.split == "train"])
        # the phones of these recordings are not known: losses that need them are off
        losses = recipe.train.losses.replace_fields(phones=0.0, seal=0.0, bite=0.0, shut=0.0)
        recipe = recipe.replace_fields(train=recipe.train.replace_fields(losses=losses))
        DriverStage.__init__(self, recipe, clips, [], runtime, start, "fine-tuning")

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean absolute error of the channels that are learnt, 0..1; correlation of jaw, smile and brows."""
        self.network.eval()
        clips = [c for c in self.clips if c.split == "val"]
        predicted = np.concatenate([
            predict(self.network, c.features.astype(np.float32), self.runtime.device, "recorded") for c in clips
        ])  # fmt: skip
        recorded = np.concatenate([c.curves for c in clips])
        columns = list(list_paired_channels(self.network.config.own))
        error = float(np.nanmean(np.abs(predicted - recorded)[:, columns]))
        self.network.train()
        self.count_validation(error)
        figures = {ERROR: error}
        for name, channels in FEATURES.items():
            here = [INDEX[n] for c in channels for n in expand(c) if INDEX[n] in columns]
            known = np.isfinite(recorded[:, here]).all(1)
            if here and known.any():
                both = (rows[known][:, here].mean(1) for rows in (predicted, recorded))
                figures[f"val_{name}_r"] = correlation(*both)
        return figures


def take_channels(network: DriverNetwork, recorded: Sequence[np.ndarray]) -> None:
    """Let a head of recorded pairs learn what recordings (T, 55) measure beside what it has: from their mean on."""
    before = set(list_paired_channels(network.config.own))
    rows = np.concatenate(recorded)
    own = [n for n in OWN if INDEX[n] in before or np.isfinite(rows[:, INDEX[n]]).any()]
    new = [INDEX[n] for n in own if INDEX[n] not in before]
    network.config = network.config.replace_fields(own=own)
    with torch.no_grad():
        network.paired.weight[new] = 0
        network.paired.bias[new] = torch.from_numpy(np.nanmean(rows[:, new], 0)).to(network.paired.bias)


class FaceFinetuning(SpeakerFinetuning):
    """Mouth and brows of recorded pairs; the face by rule stays as it was."""

    modality, kinds, suffixes = "face", ("face",), (".csv", ".json", ".npz", ".glb")

    def read(self) -> list[Path]:
        if not (self.start / DRIVER / "driver.json").is_file():
            raise UserError(f"--model {self.start}: no driver of faces in it; accepted a folder of weights with one")
        return super().read()

    def prepare(self) -> None:
        super().prepare()
        driver = Driver.load(self.start / DRIVER)
        self.clips = [c for r in self.recordings for c in speech_clips(r, driver)]

    def stage(self, steps: int) -> FaceStage:
        recipe = DriverRecipe(train=DriverTraining(
            **self.options.schedule(steps, 3e-4), batch=12, window=120, best=ERROR,
            # the other rows hold the network to its present answers to the same sound
            sampling=SpeechSampling(paired=0.6, directed=0.0, masks=0.2, noise=0.2),
        ))  # fmt: skip
        return FaceStage(recipe, self.clips, self.runtime, Driver(Driver.load(self.start / DRIVER).paired))

    def write_parts(self, best: Path, place: Path) -> None:
        driver = Driver.load(self.start / DRIVER)
        Driver(driver.network, Driver.load(best).network).save_paired(place / DRIVER, torch.int8)

    def about(self) -> dict[str, Any]:
        recorded = [c.split for c in self.clips if c.kind == "paired"]
        return {"clips": {s: recorded.count(s) for s in ("train", "val")}}


def speech_clips(recording: Recording, driver: Driver) -> list[SpeechClip]:
    """A recording as training and held-out clips: its curves, and those that the network gives the sound now.

    Of channels that the recording does not measure the network keeps what it gives now, or learns nothing (NaN).
    """
    features = extract(recording.audio, recording.rate)[: len(recording.motion)]
    motion = recording.motion.slice(0, len(features))
    curves = np.concatenate([motion.weights, motion.head], 1).astype(np.float32)
    network = driver.paired
    device = next(network.parameters()).device
    predicted = predict(network, features, device)
    unknown = np.flatnonzero(curves[:, : len(NAMES)].max(0) < MOVES)
    kept = np.intersect1d(unknown, list_paired_channels(network.config.own))
    curves[:, unknown] = np.nan
    curves[:, kept] = predict(network, features, device, "recorded")[:, kept]
    out = []
    # The end of a recording, not frames at random: neighbouring frames are nearly equal.
    cut, name = min(recording.held_from, len(features)), f"own/{recording.name}"
    for part, split in ((slice(0, cut), "train"), (slice(cut, len(features)), "val")):
        phones = np.zeros((len(features[part]), 2), np.uint8)
        out.append(SpeechClip(features[part], curves[part], phones, kind="paired", split=split, name=name))
        if split == "train":
            out.append(SpeechClip(features[part], predicted[part], phones, kind="taught", split=split, name=name))
    return [c for c in out if len(c)]


class SpeakerGestureStage(EarlyStopping, GestureStage):
    """The gesture stage on recordings, validated on their held-out ends; see `avatargpt.train.stage.Stage`."""

    def validate(self) -> dict[str, float]:
        figures = {k: v for k, v in GestureStage.validate(self).items() if math.isfinite(v)}
        self.count_validation(figures[NATS])
        return figures


class GestureFinetuning(SpeakerFinetuning):
    """Gestures in the manner without ``--speaker``."""

    modality, kinds, suffixes = "gesture", ("body", "gesture"), (".bvh", ".npz", ".glb")
    beside = WORD_FILES

    def read(self) -> list[Path]:
        if not (self.start / NAME / f"{NAME}.json").is_file():
            raise UserError(f"--model {self.start}: no gestures in it; accepted a folder of weights with them")
        config = GestureDriver.load(self.start / NAME).network.config
        if config.audio != "prosody":
            raise UserError(f"--model {self.start}: gestures that hear {config.audio}; accepted prosody")
        return super().read()

    def prepare(self) -> None:
        super().prepare()
        if not (self.work / TAKES / FILE).is_file():
            driver = GestureDriver.load(self.start / NAME)
            material = RowContents(**{name: getattr(driver.network.config, name) for name in RowContents.model_fields})
            save_corpus(gesture_takes(self.recordings, driver), material, self.work / TAKES)
        self.corpus = load_corpus(self.work / TAKES)

    def stage(self, steps: int) -> SpeakerGestureStage:
        recipe = GestureRecipe(train=GestureTraining(
            **self.options.schedule(steps, 2e-4), batch=4, segments=2, best=NATS,
            sampling=GestureSampling(anonymous=1.0, alone=1.0),
        ))  # fmt: skip
        driver = GestureDriver.load(self.start / NAME)
        return SpeakerGestureStage(recipe, self.corpus, self.runtime, driver, "fine-tuning")

    def write_parts(self, best: Path, place: Path) -> None:
        GestureDriver.load(best).save(place / NAME, torch.int8)

    def about(self) -> dict[str, Any]:
        return {"clips": {s: len(self.corpus.split(s)) for s in ("train", "val")}}


def gesture_takes(recordings: Sequence[Recording], driver: GestureDriver) -> Iterator[Take]:
    """Each recording as a take of training and one, its end, that is held out; tokens by the driver's tokenizer."""
    config, tokenizer = driver.network.config, driver.tokenizer
    assert tokenizer is not None
    encoder = word_encoder(config.words)
    for recording in recordings:
        audio = prosody(recording.audio, recording.rate)
        frames = min(len(audio), len(recording.motion))
        times = next((f for f in recording.files if f.suffix in WORD_FILES), None)
        words = () if times is None else read_words(times, len(recording.audio) / recording.rate).words
        arrays = voice_rows(audio, words, encoder, frames)
        arrays |= motion_rows(GestureFeatures().encode(recording.motion.slice(0, frames)), tokenizer)
        yield from with_end_held_out(
            recording.name, config.speakers[0], arrays, recording.held_from, config.downsample
        )
