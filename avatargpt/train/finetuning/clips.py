"""The user's material: motion files with captions, or sounds with the motion that was captured with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt import export
from avatargpt.export.formats import readable
from avatargpt.speech.audio import FPS, load
from instruct_data.clip import Clip
from instruct_data.sources.corpus import read_captions
from instruct_data.sources.packs import TABLE_SUFFIXES, Captions
from instruct_data.store import MANIFEST, Store
from vqvae import modalities
from vqvae.errors import UserError
from vqvae.ground import ground_motion

USER = "own"  # source of the user's clips among those of the package
CAPTIONS = "captions"  # name of the table, with one of the suffixes that `instruct_data.sources.packs` reads
MIN_CLIPS, MIN_CLIP_SECONDS = 4, 0.6  # fewer clips leave nothing to hold out; three tokens
SOUNDS = (".wav", ".flac", ".ogg", ".mp3")
MIN_SECONDS, MIN_RECORDING_SECONDS = 10.0, 1.5  # of all recordings together, of one
HELD_OUT = 0.15  # share of each group of clips; of each recording, at its end


def motion_files(folder: Path) -> list[Path]:
    """Motion files of a folder and below it; of a clip store its shards."""
    if (folder / MANIFEST).is_file():
        return sorted(folder.glob("*.parquet"))
    suffixes = [s for s in readable() if s != ".csv"]  # of faces alone
    table = caption_table(folder)
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file() and p != table)
    if not files:
        raise UserError(f"{folder}: no motion file in it; accepted {', '.join(suffixes)}")
    return files


def caption_table(folder: Path) -> Path | None:
    """The table of captions of a folder, None where it has none."""
    return next((p for s in TABLE_SUFFIXES if (p := folder / f"{CAPTIONS}{s}").is_file()), None)


def read_clips(folder: Path, licence: str) -> list[Clip]:
    """All clips, at 20 fps on the floor, first frame at the origin facing +Z, `action` the group of each and part of
    every larger group held out (split ``val``).

    Args:
        folder: searched with its sub-folders; ``captions.csv`` (columns animation, caption), ``.jsonl`` or ``.yaml``
            in it by the files' names, else ``NAME.txt`` beside NAME, one caption a line; or a clip store, whose clips
            without captions are left out.
        licence: written into every clip.
    """
    if (folder / MANIFEST).is_file():
        return hold_out(group_clips(_load_stored(folder, licence)))
    files, table = motion_files(folder), caption_table(folder)
    table_captions = Captions() if table is None else Captions.load(table)
    if len(files) < MIN_CLIPS:
        raise UserError(f"{folder}: {len(files)} clips; accepted at least {MIN_CLIPS}, some of which are held out")
    clips = []
    for path in files:
        # Files in sub-folders may have equal names.
        place = path.relative_to(folder).with_suffix("").as_posix()
        beside = path.with_suffix(".txt")
        texts = table_captions.find(place, path.stem).captions or read_captions(beside, place, None) or []
        if not texts:
            where = f"{table}: {place}" if table else str(path.with_suffix(".txt"))
            raise UserError(f"{path}: no caption; accepted one in {where}, in words that name what is done")
        captions = list(dict.fromkeys(" ".join(t.split()).rstrip(".").lower() for t in texts))
        clips.append(Clip(place, _read_body(path, captions[0]), captions, USER, licence))
    names = Counter(c.id for c in clips)
    if twice := [n for n, count in names.items() if count > 1]:
        raise UserError(f"{folder}: {twice[0]} lies there as several files; accepted one format of each clip")
    return hold_out(group_clips(clips))


def _load_stored(folder: Path, licence: str) -> list[Clip]:
    """The captioned bodies of a clip store."""
    store = Store.open(folder)
    if store.kind != "motion":
        raise UserError(f"{folder}: a store of {store.modality}; accepted one of bodies")
    clips = []
    for clip in store.clips():
        captions = list(dict.fromkeys(" ".join(t.split()).rstrip(".").lower() for t in clip.captions))
        if captions and (motion := clip.load()).seconds >= MIN_CLIP_SECONDS:
            clips.append(Clip(clip.id, motion.with_caption(captions[0]), captions, USER, licence))
    if len(clips) < MIN_CLIPS:
        raise UserError(f"{folder}: {len(clips)} clips with captions; accepted at least {MIN_CLIPS}")
    return clips


def _read_body(path: Path, caption: str) -> Any:
    motion: Any = export.load(path)
    if motion.modality != "body":
        raise UserError(f"{path}: motion of a {motion.modality}; accepted bodies")
    motion = ground_motion(motion).resampled(modalities.get("body").fps).canonical().with_caption(caption)
    if motion.seconds < MIN_CLIP_SECONDS:
        raise UserError(f"{path}: {motion.seconds:.2f} s; accepted at least {MIN_CLIP_SECONDS:g} s")
    return motion


def group_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Clips that share a caption are of one action, named after the first caption of the first of them."""
    leader: dict[str, str] = {}

    def action_of(text: str) -> str:
        while leader.setdefault(text, text) != text:
            text = leader[text]
        return text

    for clip in clips:
        # Union-find: captions of one clip are joined to the group of its first one.
        for text in clip.captions[1:]:
            first, further = action_of(clip.captions[0]), action_of(text)
            leader[further] = first
    return [replace(c, action=action_of(c.captions[0])) for c in clips]


def hold_out(clips: Sequence[Clip]) -> list[Clip]:
    """Every seventh clip or so of each group is held out: of two or more at least one, and at least one of all."""
    members: dict[str, list[int]] = {}
    for i, clip in enumerate(clips):
        members.setdefault(clip.action, []).append(i)
    chosen: set[int] = set()
    for rows in members.values():
        # A fixed draw: the same clips are held out when the run is resumed.
        order = np.random.default_rng([len(rows), rows[0]]).permutation(rows)
        if len(rows) > 1:
            chosen |= {int(i) for i in order[: max(1, round(HELD_OUT * len(rows)))]}
    chosen = chosen or {len(clips) - 1}  # all groups of one: validation then shows at least what is overfitted
    return [replace(c, split="val" if i in chosen else "train") for i, c in enumerate(clips)]


@dataclass(frozen=True, eq=False)
class Recording:
    """One sound with its motion."""

    name: str  # of the files
    files: tuple[Path, ...]  # sound, motion and further files of that name
    audio: np.ndarray  # (n,) float32 at `rate`
    rate: int
    motion: Any  # at 30 fps, cut with the sound to the shorter of both

    @property
    def held_from(self) -> int:
        """The first frame that is held out."""
        return round(len(self.motion) * (1 - HELD_OUT))


def read_recordings(
    folder: Path, modality_names: tuple[str, ...], suffixes: tuple[str, ...], extras: tuple[str, ...] = ()
) -> list[Recording]:
    """Every sound of a folder and below it, with the motion that has its name."""
    sounds = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SOUNDS)
    if not sounds:
        raise UserError(f"{folder}: no sound in it; accepted {', '.join(SOUNDS)}")
    out = []
    for sound in sounds:
        path = next((p for s in suffixes if (p := sound.with_suffix(s)).is_file()), None)
        if path is None:
            raise UserError(f"{sound}: no motion beside it; accepted {sound.stem} with {', '.join(suffixes)}")
        further = tuple(p for s in extras if (p := sound.with_suffix(s)).is_file())
        audio, rate = load(sound)
        motion: Any = export.load(path)
        if motion.modality not in modality_names:
            raise UserError(f"{path}: motion of a {motion.modality}; accepted a {modality_names[0]}")
        motion = motion.resampled(float(FPS))
        frames = min(len(motion), len(audio) * FPS // rate)
        if frames < MIN_RECORDING_SECONDS * FPS:
            raise UserError(f"{path}: {frames / FPS:.1f} s with sound; accepted at least {MIN_RECORDING_SECONDS:g}")
        out.append(Recording(path.stem, (sound, path, *further), audio, rate, motion.slice(0, frames)))
    seconds = sum(len(r.motion) for r in out) / FPS
    if seconds < MIN_SECONDS:
        raise UserError(f"{folder}: {seconds:.1f} s of recordings; accepted at least {MIN_SECONDS:g}")
    return out
