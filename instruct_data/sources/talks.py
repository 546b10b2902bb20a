"""Readers for people who talk: BEAT, BEAT2, ZeroEGGS, LLAvatarOS, GENEA 2023, Talking With Hands."""

# A clip's `extra` holds paths: `audio`, `transcript` (word times in the corpus' form) and `interlocutor` (the
# same of the other person), besides `speaker` and what the corpus says of kind or style.

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from instruct_data.clip import SPLITS, Clip
from instruct_data.sources.corpus import (
    MAX_TEXT_BYTES,
    Corpus,
    Report,
    find_files,
    load_bvh,
    normalise_motion,
    with_files,
)
from vqvae.errors import UserError
from vqvae.io import pos7
from vqvae.io.data_files import map_array, read_arrays
from vqvae.io.files import parsing, read_text
from vqvae.io.smplx import read_smplx
from vqvae.motion import Motion

_BEAT_KINDS = {"0": "speech", "1": "conversation", "2": "speech", "3": "conversation"}
NINE_JOINT_RATES = (30.0, 60.0)
MAX_LENGTH_DIFFERENCE = 0.03  # of motion and sound, as a share of the sound
_GENEA_SPLITS = {"trn": "train", "val": "val", "tst": "test"}
_GENEA_ROLES = ("main-agent", "interloctr")
WORD_SUFFIXES = (".TextGrid", ".csv")  # of word times that users put beside sounds
_PERSON = re.compile(r"(deep|shallow)\d+")


def _beat_extra(name: str) -> dict[str, str]:
    """Speaker and kind from ``SPEAKER_NAME_KIND_FIRST_LAST``."""
    parts = name.split("_")
    return {"speaker": "_".join(parts[:2]), "kind": _BEAT_KINDS.get(parts[2], "") if len(parts) > 2 else ""}


def read_beat(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """BEAT (Liu et al. 2022), BVH at 120 frames a second; its files show no split."""
    for path in find_files(root, "**/*.bvh"):
        files = {"audio": path.with_suffix(".wav"), "transcript": path.with_suffix(".TextGrid")}
        load, extra = partial(load_bvh, path, hands=True), _beat_extra(path.stem)
        yield from with_files(Clip(path.stem, load, [], "beat", corpus.licence, split, extra=extra), files, report)


def read_beat2(root: Path, corpus: Corpus, report: Report) -> Iterator[Clip]:
    """BEAT2 (Liu et al. 2024), SMPL-X at 30 frames a second; its "additional" takes count as training.

    The tree of H-Liu1997/BEAT2 on Hugging Face, ``beat_english_v2.0.0`` (PantoMatrix/PantoMatrix, README.md).
    """
    table = root / "train_test_split.csv"
    splits = {}
    for n, line in enumerate(read_text(table, MAX_TEXT_BYTES, f"accepted {corpus.tree}").splitlines()[1:], 2):
        cells = [c.strip() for c in line.split(",")]
        if len(cells) < 2 or cells[1] not in (*SPLITS, "additional"):
            raise UserError(f"{table}: line {n}: {line[:60]!r}; accepted id,type with {', '.join(SPLITS)}, additional")
        splits[cells[0]] = "train" if cells[1] == "additional" else cells[1]
    for path in find_files(root, "smplxflame_30/*.npz"):
        name = path.stem
        if name not in splits:
            raise UserError(f"{table}: no {name}; accepted a line for each file of smplxflame_30")
        files = {"audio": root / "wave16k" / f"{name}.wav", "transcript": root / "textgrid" / f"{name}.TextGrid"}
        load = partial(_load_gesture, read_smplx, path, "y", hands=True)
        clip = Clip(name, load, [], "beat2", corpus.licence, splits[name], extra=_beat_extra(name))
        yield from with_files(clip, files, report)


def _load_gesture(read: Callable[..., Motion], *arguments: Any, **options: Any) -> Motion:
    return normalise_motion(read(*arguments, **options))


def read_beat2_take(root: Path, corpus: Corpus, report: Report) -> Iterator[Clip]:
    """One take of BEAT2 in the form of `read_quantised_take`; its terms let it validate, not train."""
    for path in find_files(root, "*_*.npz"):
        load, extra = partial(_load_gesture, read_quantised_take, root / "body22.npz"), _beat_extra(path.stem)
        clip = Clip(path.stem, load, [], "beat2", corpus.licence, "val", extra=extra)
        yield from with_files(clip, {"audio": path.with_suffix(".flac")}, report)


def read_quantised_take(path: str | os.PathLike[str]) -> Motion:
    """A take as ``body22.npz``: root (T, 3) metres, rot (T, 22, 4) and fingers (T, 30, 4) int16 = 32767 q, fps."""
    path = Path(path)
    data = read_arrays(path, ("root", "rot", "fingers", "fps"))
    with parsing(path, "a take with root, rot, fingers and fps"):
        rotations, fingers = (data[k].astype(np.float32) / 32767 for k in ("rot", "fingers"))
        return Motion(rotations, data["root"], float(data["fps"]), "gesture", fingers=fingers)


def read_zeroeggs(root: Path, corpus: Corpus, report: Report, split: str | None = None) -> Iterator[Clip]:
    """ZeroEGGS (Ghorbani et al. 2022): ``NUMBER_STYLE_TAKE_(mirror_)x_1_0.bvh`` at 60 frames a second.

    ``Zeggs_data.zip`` has the folders ``original`` and ``clean``; only in the latter are sound and motion in step.
    ``data/info.csv`` beside them says which takes validate (ubisoft/ubisoft-laforge-ZeroEGGS, README.md,
    ZEGGS/data_pipeline.py). No words are published: those beside a sound are the user's.
    """
    held = _zeroeggs_validation(root)
    clean = root / "clean"
    for path in find_files(clean if clean.is_dir() else root, "**/*.bvh"):
        parts = path.stem.split("_")
        extra = {"speaker": "zeroeggs", "style": parts[1] if len(parts) > 1 else "", "mirrored": "mirror" in parts}
        part = split or ("val" if "_".join(parts[:3]) in held else "train")
        clip = Clip(path.stem, partial(load_bvh, path, hands=True), [], "zeroeggs", corpus.licence, part, extra=extra)
        yield from with_files(clip, _sound_with_words(path.with_suffix(".wav")), report)


def _zeroeggs_validation(root: Path) -> set[str]:
    """``NUMBER_STYLE_TAKE`` of the recordings that ``info.csv`` keeps for validation; none without that file."""
    table = next((p for folder in (root, root.parent) if (p := folder / "info.csv").is_file()), None)
    if table is None:
        return set()
    with parsing(table, "the list of ZeroEGGS' recordings"):
        rows = csv.DictReader(read_text(table, MAX_TEXT_BYTES).splitlines())
        return {Path(row["audio_filename"]).stem for row in rows if row["validation"].strip().upper() == "TRUE"}


def _sound_with_words(sound: Path, *folders: Path) -> dict[str, Path]:
    """The sound and, where there is one, a file of its word times beside it or in one of the folders."""
    names = [sound.with_suffix(s) for s in WORD_SUFFIXES]
    places = [*names, *(folder / name.name for folder in folders for name in names)]
    words = next((p for p in places if p.is_file()), None)
    return {"audio": sound} | ({} if words is None else {"transcript": words})


def read_llavataros(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Folders of LLAvatarOS: arrays of nine joints (`vqvae.io.pos7`), whose rate follows from the sound's length.

    Its ``data`` folder has sounds and motions in ``datasets/zaos1``, Montreal's word times in ``alignments``, and
    generated motions, which are left out, in ``animations`` (santuario/llavataros, README.md, utils/data_loader.py).
    """
    data = root / "data" if (root / "data" / "datasets").is_dir() else root
    for path in find_files(data / "datasets" if (data / "datasets").is_dir() else data, "**/*.npy"):
        files = _sound_with_words(path.with_suffix(".wav"), data / "alignments")
        load = partial(_load_nine_joints, path, files["audio"])
        clip = Clip(path.stem, load, [], "llavataros", corpus.licence, split, extra={"speaker": "llavataros"})
        yield from with_files(clip, files, report)


def _load_nine_joints(path: Path, sound: Path) -> Motion:
    import soundfile

    array = map_array(path)
    if array.shape[1:] != pos7.SHAPE or not len(array):
        raise UserError(f"{path}: shape {array.shape}; accepted (frames, 9, 7)")
    with parsing(sound, "a sound"):
        seconds = float(soundfile.info(str(sound)).duration)
    # one of `NINE_JOINT_RATES`, as the motion is as long as its sound
    fps = min(NINE_JOINT_RATES, key=lambda r: abs(np.log(len(array) / r / max(seconds, 1e-9))))
    if abs(len(array) / fps - seconds) > max(MAX_LENGTH_DIFFERENCE * seconds, 0.5):
        raise UserError(f"{path}: {len(array)} frames beside {seconds:.1f} s of sound; accepted 30 or 60 frames a "
                        "second")  # fmt: skip
    array = np.array(array, np.float64)
    if not np.isfinite(array).all():
        raise UserError(f"{path}: NaN or infinity; accepted finite numbers")
    with parsing(path, "an upper body of nine joints"):
        return normalise_motion(pos7.from_array(array, fps))


def read_genea(root: Path, corpus: Corpus, report: Report) -> Iterator[Clip]:
    """The main agents of GENEA 2023 (Kucherenko et al. 2023): pieces of about a minute of Talking With Hands.

    Of both persons there are ``bvh``, ``wav`` and ``tsv``; ``metadata.csv`` of a split has the numbers of the persons
    and says whose fingers were captured: the others' are stiff in the files, and are left out.
    Tables of who says nothing are empty, the test split has no motion of the main agent
    (genea-workshop/genea_challenge_2023, dataset/README.md).
    """
    for part, split in _GENEA_SPLITS.items():
        speakers = _genea_speakers(root / part / "metadata.csv")
        for path in find_files(root, f"{part}/{_GENEA_ROLES[0]}/bvh/*.bvh"):
            names = [(root / part / role, path.stem.replace(_GENEA_ROLES[0], role)) for role in _GENEA_ROLES]
            agent, listener = (
                {"audio": f / "wav" / f"{n}.wav", "transcript": f / "tsv" / f"{n}.tsv"} for f, n in names
            )
            persons = speakers.get(path.stem.removesuffix(f"_{_GENEA_ROLES[0]}"), {})
            interlocutor: dict[str, Any] = {"name": path.stem.replace(*_GENEA_ROLES)}
            interlocutor |= persons.get(_GENEA_ROLES[1], {})
            interlocutor |= {key: str(value) for key, value in listener.items()}
            motion = root / part / _GENEA_ROLES[1] / "bvh" / f"{interlocutor['name']}.bvh"
            if motion.is_file():
                interlocutor["motion"] = str(motion)
            extra = persons.get(_GENEA_ROLES[0], {}) | {"interlocutor": interlocutor}
            load = partial(_load_bvh_talk, path, bool(extra.get("fingers", True)))
            clip = Clip(path.stem, load, [], "genea2023", corpus.licence, split, extra=extra)
            yield from with_files(clip, agent, report, listener.values())


def _load_bvh_talk(path: Path, fingers: bool) -> Motion:
    motion = load_bvh(path, hands=True)
    return motion if fingers else replace(motion, fingers=None)  # those that are stiff are not known


def _genea_speakers(table: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """Of each recording (``SPLIT_2023_v0_NUMBER``) and role ``speaker`` and ``fingers``; empty without that file."""
    if not table.is_file():
        return {}
    with parsing(table, "the list of GENEA's recordings"):
        rows = csv.DictReader(read_text(table, MAX_TEXT_BYTES).splitlines())
        return {row["prefix"]: {role: {
            "speaker": f"genea_{row[f'{role}_id']}", "fingers": row[f"{role}_has_fingers"] == "fingers_incl",
        } for role in _GENEA_ROLES} for row in rows}  # fmt: skip


def read_talking_with_hands(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Both persons of every take (Lee et al. 2019); takes without released sound are skipped.

    ``mocap_data/sessionN/takeM.zip`` and ``audio_data/sessionN/takeM.zip``, each unpacked into a folder of its name
    (facebookresearch/TalkingWithHands32M, README.md); names of files hold ``deepN`` or ``shallowN``. No words are
    published: those beside a sound are the user's.
    """

    def person_of(path: Path) -> str:
        match = _PERSON.search(path.stem)
        if match is None:
            raise UserError(f"{path}: no deepN or shallowN in its name; accepted {corpus.tree}")
        return match[0]

    motions, audio = root / "mocap_data", root / "audio_data"
    for path in find_files(motions, "*/*/**/*.bvh"):
        person, place = person_of(path), path.relative_to(motions).parts[:2]
        sounds = {person_of(p): p for p in sorted(audio.joinpath(*place).rglob("*.wav"))}
        name = "_".join((*place, person))
        extra: dict[str, Any] = {"speaker": person}
        partners = [(speaker, sound) for speaker, sound in sounds.items() if speaker != person]
        if len(partners) == 1:
            speaker, sound = partners[0]
            heard = {key: str(p) for key, p in _sound_with_words(sound).items()}
            extra["interlocutor"] = {"name": "_".join((*place, speaker)), "speaker": speaker} | heard
        load = partial(load_bvh, path, hands=True)
        clip = Clip(name, load, [], "talking_with_hands", corpus.licence, split, extra=extra)
        files = _sound_with_words(sounds.get(person, audio.joinpath(*place, f"{name}.wav")))
        yield from with_files(clip, files, report)
