"""Readers for motion capture of single actors: Bandai-Namco 1 and 2, 100STYLE, LAFAN1 and CMU."""

# Bandai-Namco-Research-Motiondataset (Kobayashi et al. 2023, arXiv 2306.08861): 30 frames a second,
# `dataset-N_CONTENT_STYLE_NUMBER.bvh`; github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset.
#
# 100STYLE (Mason et al. 2022): 60 frames a second, `STYLE/STYLE_KIND.bvh`; `Frame_Cuts.csv` says for each style, in
# columns `KIND_START` and `KIND_STOP`, which frames are the movement, without the T-pose at both ends;
# ianxmason.com/100style.
#
# LAFAN1 (Harvey et al. 2020, "Robust Motion In-Betweening"): 30 frames a second, takes of minutes,
# `THEMENUMBER_subjectN.bvh`; github.com/ubisoft/ubisoft-laforge-animation-dataset.
#
# CMU (mocap.cs.cmu.edu), Acclaim's files, or the BVH files made of them (cgspeed.com). Descriptions are in
# `cmu-mocap-index-text.txt`, which comes with the BVH files: lines of a trial's name and words. The BVH files begin
# with a frame of the rest pose, which is left out.

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from io import StringIO
from pathlib import Path
from zlib import crc32

import numpy as np

from instruct_data.clip import Clip
from instruct_data.factory.text.captions import bank_style
from instruct_data.factory.text.everyday import everyday, lexicon
from instruct_data.sources.corpus import (
    MAX_TEXT_BYTES,
    Corpus,
    Report,
    find_files,
    load_bvh,
    load_clip,
    normalise_motion,
    reason,
)
from vqvae.errors import UserError
from vqvae.io.asf import AsfSkeleton, read_amc, read_asf
from vqvae.io.files import parsing, read_text
from vqvae.motion import Motion
from vqvae.retarget import retarget

CMU_INDEX = "cmu-mocap-index-text.txt"
CMU_FPS = 120.0


def _load_trial(path: Path, skeleton: AsfSkeleton, fps: float, caption: str) -> Motion:
    return normalise_motion(retarget(read_amc(path, skeleton, fps)), caption)


def read_cmu(root: Path, corpus: Corpus, report: Report, split: str = "train", fps: float = CMU_FPS) -> Iterator[Clip]:
    """Every trial; Acclaim's where both forms of one are there. `fps`: of the .amc files, which do not say it: 120, of
    a few subjects 60.
    """
    captions = read_index(root)
    skeletons: dict[Path, AsfSkeleton | UserError] = {}
    acclaim = find_files(root, "subjects/*/*.amc", "*/*.amc")
    names = {path.stem for path in acclaim}
    for path in acclaim:
        asf = path.with_name(f"{path.stem.split('_')[0]}.asf")
        if asf not in skeletons:
            try:
                skeletons[asf] = read_asf(asf)
            except UserError as e:
                skeletons[asf] = e
        skeleton = skeletons[asf]
        if isinstance(skeleton, UserError):
            report.skip(path.stem, f"its skeleton {reason(skeleton)}")
            continue
        texts = captions.get(path.stem, [])
        load = partial(_load_trial, path, skeleton, fps, texts[0] if texts else "")
        yield from load_clip(Clip(path.stem, load, texts, "cmu_amc", corpus.licence, split), report)
    for path in find_files(root, "*/*_*.bvh", "data/*/*_*.bvh", "*/*/*_*.bvh"):
        if path.stem not in names:
            names.add(path.stem)
            texts = captions.get(path.stem, [])
            bvh = partial(load_bvh, path, texts[0] if texts else "", first=1)
            yield from load_clip(Clip(path.stem, bvh, texts, "cmu_bvh", corpus.licence, split), report)


def read_index(root: Path) -> dict[str, list[str]]:
    """Descriptions of each trial, by its name; empty where there is no index."""
    path = next((p for p in (root / CMU_INDEX, root.parent / CMU_INDEX) if p.is_file()), None)
    if path is None:
        return {}
    out: dict[str, list[str]] = {}
    for line in read_text(path, MAX_TEXT_BYTES, "accepted UTF-8").splitlines():
        name, _, words = line.strip().replace("\t", " ").partition(" ")
        subject, mark, trial = name.partition("_")
        if mark and subject.isdecimal() and trial.isdecimal() and words.strip():
            out.setdefault(name, []).append(" ".join(words.split()))
    return out


MAX_CAPTIONS = 5  # of a Bandai-Namco clip
KINDS = {
    "FW": ("walk", "a person walks forward"), "FR": ("run", "a person runs forward"),
    "BW": ("walk_back", "a person walks backward"), "BR": ("run_back", "a person runs backward"),
    "SW": ("walk_sideways", "a person walks sideways"), "SR": ("run_sideways", "a person runs sideways"),
    "ID": ("stand", "a person stands"), "TR1": ("change_gait", "a person stops, goes and changes gait"),
    "TR2": ("change_gait", "a person stops, goes and changes gait"),
    "TR3": ("change_gait", "a person stops, goes and changes gait"),
}  # fmt: skip
TEST_SUBJECT = "5"  # of LAFAN1, as in the paper


def words_of(name: str) -> list[str]:
    """``fallAndGetUp``, ``fall_and_get-up`` and ``Fall_And_Get_Up`` -> fall, and, get, up; lower case."""
    spaced = "".join(f" {c}" if c.isupper() and k and not name[k - 1].isupper() else c for k, c in enumerate(name))
    return spaced.replace("_", " ").replace("-", " ").lower().split()


def read_bandai_namco(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Every take with its content as action and its style; the data set has no sentences: captions are ours."""
    for path in find_files(root, *corpus.needs[0].split("|")):
        parts = path.stem.split("_")
        if len(parts) != 4 or not parts[0].startswith("dataset-"):
            report.skip(path.stem, "a name of another form than dataset-N_CONTENT_STYLE_NUMBER")
            continue
        action, style = (part.replace("-", "_") for part in parts[1:3])
        captions = bandai_captions(action, style, path.stem)
        if not captions:
            report.notes["take whose content or style has no words of ours, without captions"] += 1
        load = partial(load_bvh, path, captions[0] if captions else "")
        source = f"bandai{parts[0].removeprefix('dataset-')}"
        yield from load_clip(Clip(path.stem, load, captions, source, corpus.licence, split, action, style), report)


def bandai_captions(action: str, style: str, name: str) -> list[str]:
    """Up to `MAX_CAPTIONS` different captions, always the same for one name; none for what the lexicon lacks."""
    if bank_style(style) not in lexicon()["styles"]:
        return []
    rng = np.random.default_rng(crc32(name.encode()))
    texts = (everyday(action, style, rng) for _ in range(3 * MAX_CAPTIONS))
    return list(dict.fromkeys(text for text in texts if text))[:MAX_CAPTIONS]


def read_100style(root: Path, corpus: Corpus, report: Report, split: str = "train") -> Iterator[Clip]:
    """Every take of 100STYLE between its cuts, with a sentence of its kind and style."""
    cuts = frame_cuts(root / "Frame_Cuts.csv")
    for path in find_files(root, "*/*_*.bvh"):
        style, _, kind = path.stem.rpartition("_")
        if kind not in KINDS:
            report.skip(path.stem, f"kind {kind}; known: {', '.join(KINDS)}")
            continue
        if path.stem not in cuts:
            report.skip(path.stem, "no cut of it in Frame_Cuts.csv")
            continue
        action, sentence = KINDS[kind]
        words = words_of(style)
        caption = sentence if words == ["neutral"] else f"{sentence} in {' '.join(words)} style"
        load, style = partial(load_bvh, path, caption, *cuts[path.stem]), "_".join(words)
        clip = Clip(path.stem, load, [caption], "100style", corpus.licence, split, action, style)
        yield from load_clip(clip, report)


def frame_cuts(path: Path) -> dict[str, tuple[int, int]]:
    """``STYLE_KIND`` -> first frame and the one behind the last; cells that are empty or N/A are left out."""
    out: dict[str, tuple[int, int]] = {}
    with parsing(path, "a table of cuts", "accepted STYLE_NAME, then KIND_START and KIND_STOP of each kind"):
        rows = csv.DictReader(StringIO(read_text(path, MAX_TEXT_BYTES)), strict=True)
        names = [str(n).strip() for n in rows.fieldnames or ()]
        kinds = [n.removesuffix("_START") for n in names if n.endswith("_START")]
        if names[:1] != ["STYLE_NAME"] or not kinds:
            raise UserError(f"the columns {', '.join(names)[:80]}; accepted STYLE_NAME, KIND_START, KIND_STOP")
        rows.fieldnames = names
        for row in rows:
            for kind in kinds:
                cells = [str(row.get(f"{kind}_{end}") or "").strip() for end in ("START", "STOP")]
                if not cells[0] or cells[0].upper() == "N/A":
                    continue
                first, stop = (int(float(c)) if c.replace(".", "", 1).isdecimal() else -1 for c in cells)
                if not 0 <= first < stop:
                    raise UserError(f"line {rows.line_num}: {kind} {' to '.join(cells)}; accepted rising frames")
                out[f"{str(row['STYLE_NAME']).strip()}_{kind}"] = (first, stop)
    return out


def read_lafan1(root: Path, corpus: Corpus, report: Report, split: str | None = None) -> Iterator[Clip]:
    """Every take of LAFAN1, whole, with its theme as action; without captions, since takes last minutes."""
    for path in find_files(root, *corpus.needs[0].split("|")):
        theme, _, subject = path.stem.partition("_subject")
        part = split or ("test" if subject == TEST_SUBJECT else "train")
        action, extra = "_".join(words_of(theme.rstrip("0123456789"))), {"subject": subject}
        yield from load_clip(
            Clip(path.stem, partial(load_bvh, path), [], "lafan1", corpus.licence, part, action, "", extra), report
        )
