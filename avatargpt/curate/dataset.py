"""The result: stores of clips, plans, recordings with their sound, and what was left out.

    DATASET/body, DATASET/face      clip stores, for `train.py prepare` and `faces`, `finetune`, `data export-datasets`
    DATASET/planning/train.jsonl    scenes with activities and steps, for `instruct_data.planning`
    DATASET/recordings/face/        NAME.wav, NAME.npz and, of words, NAME.TextGrid: for `finetune --modality face`
    DATASET/recordings/gesture/     the same with bodies: for `finetune --modality gesture`
    DATASET/rejects.jsonl           what was left out at which stage, and why
    DATASET/report.html             counts, rejects, samples to look at
    DATASET/dataset.json            counts, the configuration, and the SHA-256 of every other file
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avatargpt.curate.manifest import FilmFile
from avatargpt.curate.report import write_report
from avatargpt.curate.run import CurateRun, Piece, SegmentEntry
from avatargpt.curate.tracks import StoredTrack, read_tracks
from avatargpt.speech import word_files
from avatargpt.speech.words import Word, Words
from instruct_data.clip import Clip
from instruct_data.store import Store
from vqvae.errors import UserError
from vqvae.io.files import check_place, scratch_folder, sha256

ABOUT = "dataset.json"
FORMAT = 1
# who wrote the texts of a clip -> what the name of its source says of it
BY = {"model": "", "beside": ", captions beside the film", "name": ", by file name", "describer": ", by the describer",
      "nobody": ", without text"}  # fmt: skip
MIN_RECORDING = 1.5  # s


def check_target(output: Path) -> None:
    """Raises UserError where something else lies there, or its folder cannot be written."""
    if output.exists() and not (output / ABOUT).is_file():
        raise UserError(f"{output}: is there already and is no data set of films; accepted: a new folder")
    check_place(output)


def write(
    output: Path, run: CurateRun, films: Sequence[FilmFile], entries: Sequence[SegmentEntry],
    sounds: Mapping[str, dict[str, Any]], pictures: Mapping[str, Path],
) -> dict[str, Any]:  # fmt: skip
    """Write the data set beside its place and put it there, whole."""
    with scratch_folder(output.absolute().parent, output.name) as scratch:
        building = scratch / "new"
        building.mkdir()
        # names of the films for validation, by their contents; never all of them
        whole, share = {f.name for f in films if f.sha256}, run.recipe.dataset.held_out
        held_out = frozenset(f.name for f in films if f.sha256 and int(f.sha256[:8], 16) < share * 2**32)
        held_out = held_out if len(held_out) < len(whole) else frozenset()
        clips = _clips(run, entries, held_out)
        for modality, rows in clips.items():
            Store.write(rows, building / modality)
        scenes = _scenes(entries)
        for split in ("train", "val"):
            lines = [json.dumps(s, ensure_ascii=False) for film, s in scenes if (film in held_out) == (split == "val")]
            if lines:
                _write(building / "planning" / f"{split}.jsonl", "\n".join(lines) + "\n")
        recordings = _recordings(building / "recordings", entries, sounds)
        rejects = [json.dumps(r, ensure_ascii=False, sort_keys=True) for r in run.rejects]
        _write(building / "rejects.jsonl", "".join(line + "\n" for line in rejects))
        about = {
            "format": FORMAT, "films": len(films), "used": len({e.piece.film.name for e in entries}),
            "clips": {m: len(c) for m, c in clips.items()},
            "hours": round(sum(e.piece.span[1] - e.piece.span[0] for e in entries) / 3600, 4),
            "texts": dict(sorted(Counter(e.by for e in entries).items())),
            "scenes": len(scenes), "recordings": recordings, "rejects": len(run.rejects),
            "configuration": run.recipe.model_dump(mode="json", exclude={"limits"}), "capture": run.capture,
        }  # fmt: skip
        write_report(building / "report.html", run, about, entries, pictures)
        files = sorted(p for p in building.rglob("*") if p.is_file())
        about["files"] = {p.relative_to(building).as_posix(): sha256(p) for p in files}
        about["sha256"] = hashlib.sha256(json.dumps(about["files"], sort_keys=True).encode()).hexdigest()
        _write(building / ABOUT, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
        if output.exists():
            os.replace(output, scratch / "old")
        os.replace(building, output)
    return about


def _clips(run: CurateRun, entries: Sequence[SegmentEntry], held_out: frozenset[str]) -> dict[str, list[Clip]]:
    """Clips by modality, in the order of the films."""
    options = run.recipe.dataset
    licences = {e.piece.film.licence or options.licence for e in entries}
    tracks: dict[tuple[Path, str], StoredTrack] = {}
    out: dict[str, list[Clip]] = defaultdict(list)
    for entry in sorted(entries, key=lambda e: e.piece.name):
        piece, film = entry.piece, entry.piece.film
        licence = film.licence or options.licence
        # a source of a store has one licence
        source = options.name + BY[entry.by] + (f" ({licence})" if len(licences) > 1 else "")
        track = _track(tracks, piece)
        motion = track.piece(*piece.span).with_caption(entry.captions[0] if entry.captions else "")
        extra = {
            "film": film.name, "film_sha256": film.sha256, "seconds": list(piece.span), "person": piece.row["person"],
            "box": piece.row["box"], "text_by": entry.by, **entry.extra,
        }  # fmt: skip
        extra |= {k: v for k, v in (("title", film.title), ("speaker", film.speaker), ("words", piece.words)) if v}
        if "reliability" in track.arrays:
            extra["reliability"] = [round(float(v), 3) for v in track.arrays["reliability"]]
        split = "val" if film.name in held_out else "train"
        action = str(entry.extra.get("activity", ""))
        clip = Clip(piece.name, motion, entry.captions, source, licence, split, action, "", extra)
        out[piece.modality].append(clip)
    return dict(out)


def _track(tracks: dict[tuple[Path, str], StoredTrack], piece: Piece) -> StoredTrack:
    """A piece's track; the last one stays in memory, for pieces come in order."""
    key = (piece.arrays, piece.row["key"])
    if key not in tracks:
        tracks.clear()
        tracks[key] = read_tracks(piece.arrays, [piece.row])[0]
    return tracks[key]


def _scenes(entries: Sequence[SegmentEntry]) -> list[tuple[str, dict[str, Any]]]:
    """Each scene with its activities and steps as `instruct_data.planning` reads them, and the name of its film."""
    scenes: dict[tuple[str, int], list[SegmentEntry]] = defaultdict(list)
    for entry in entries:
        if "scene" in entry.extra:
            scenes[entry.piece.film.name, entry.extra["scene_number"]].append(entry)
    out = []
    for (film, _), rows in scenes.items():
        activities: list[dict[str, Any]] = []
        for entry in sorted(rows, key=lambda e: (e.piece.number, e.piece.span)):
            level = entry.extra
            if not activities or activities[-1]["task"] != level["activity"]:
                activities.append({"task": level["activity"], "steps": []})
            activities[-1]["steps"].append(level["step"])
        out.append((film, {"scene": rows[0].extra["scene"], "activities": activities}))
    return out


def _recordings(folder: Path, entries: Sequence[SegmentEntry], sounds: Mapping[str, dict[str, Any]]) -> dict[str, int]:
    """The foremost face and body of each shot with sound, as a whole, beside its sound; counts by kind."""
    import soundfile

    counts: Counter[str] = Counter()
    done: set[tuple[str, int, str]] = set()
    for entry in entries:
        piece, key = entry.piece, (entry.piece.film.name, entry.piece.number, entry.piece.row["key"])
        if piece.film.name not in sounds or not piece.row["key"].endswith("_0") or key in done:
            continue
        done.add(key)
        (track,) = read_tracks(piece.arrays, [piece.row])
        start, motion = float(piece.row["start"]), track.motion
        about = sounds[piece.film.name]
        rate = soundfile.info(about["file"]).samplerate
        first, count = max(0, round(start * rate)), round(motion.seconds * rate)
        samples, _ = soundfile.read(about["file"], dtype="int16", start=first, frames=count)
        if len(samples) < MIN_RECORDING * rate:
            continue
        kind = "face" if piece.modality == "face" else "gesture"
        stem = folder / kind / f"{piece.film.name}_{piece.number:03d}"
        stem.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(stem.with_name(stem.name + ".wav"), samples, rate, subtype="PCM_16")
        motion.save(stem.with_name(stem.name + ".npz"))
        end = start + len(samples) / rate
        spoken = [w for w in about["words"] if w[1] < end and w[2] > start]
        words = [Word(text, max(a - start, 0.0), min(b, end) - start) for text, a, b in spoken]
        if words:
            word_files.write(Words(tuple(words), end - start, "Whisper"), stem.with_name(stem.name + ".TextGrid"))
        counts[kind] += 1
    return dict(sorted(counts.items()))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
