"""The texts that `avatargpt data curate` writes of films, against what people who looked at the films wrote down.

FILMS is the folder of films that the truth names (`eval/suites/films_held.jsonl`, one segment a line: film, modality,
seconds, a point of the picture where the person is, who it is, what is done, words of which a right text has one, and
words that only wrong texts have). WORK keeps the data sets and all results, so that a second source of texts costs only
its texts (`--text describer` or name, or `--llm ENDPOINT`; `--rows`: with every text). Of each segment:

- clip: the data set has one of that film, modality and place that covers at least half of the time of both together;
- well-formed, by level: caption, and of bodies step, activity and scene, are 3 to 400 characters in one line, and no
  semicolon is in a level of a plan; the plans are read by `instruct_data.planning`;
- person (bodies): the caption names one person, and neither several nor one of the other sex;
- action: the caption has one of the words and none of the others, counted at the beginnings of words.

A segment without its clip is wrong in everything.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatargpt.cli.app import run as command
from instruct_data.clip import Clip
from instruct_data.planning import read_planning_pairs
from instruct_data.store import Store
from vqvae.io.data_files import json_rows

TRUTH = Path(__file__).parents[1] / "eval" / "suites" / "films_held.jsonl"
OVERLAP = 0.5  # of the times of a clip and of a segment, of both together
LEVELS = ("caption", "step", "activity", "scene")
ANYBODY = {"person", "someone", "somebody", "human", "individual", "figure", "actor", "dancer", "adult"}
SEXES = {"woman": {"woman", "lady", "girl", "female", "she", "her"}, "man": {"man", "guy", "boy", "male", "he", "his"}}
SEVERAL = {"people", "persons", "women", "men", "two", "three", "several", "both", "group", "couple", "crowd"}
# words that count a person's own parts
PARTS = {"arms", "hands", "legs", "feet", "knees", "sides", "elbows", "shoulders"}


def words_of(text: str) -> list[str]:
    """Words in small letters."""
    return re.findall(r"[a-z]+", text.casefold())


def names_person(text: str, person: str) -> bool:
    """Whether a text is about one person who may be that one."""
    words = words_of(text)
    pairs = zip(words, [*words, ""][1:], strict=True)
    several = {w for w, following in pairs if w in SEVERAL and following not in PARTS}
    others = {w for sex, names in SEXES.items() if sex != person for w in names}
    return bool({*words} & (ANYBODY | SEXES[person])) and not several and not {*words} & others


def says(text: str, beginnings: Sequence[str]) -> bool:
    """Whether a word, or words, of the text begin so."""
    line = f" {' '.join(words_of(text))}"
    return any(f" {b}" in line for b in beginnings)


def well_formed(text: str, level: str) -> bool:
    """Whether it is a text of that level."""
    return 3 <= len(text) <= 400 and "\n" not in text and (level == "caption" or ";" not in text)


def clip_of(row: dict[str, Any], clips: Sequence[Clip]) -> Clip | None:
    """The clip of a segment of the truth."""
    start, end = row["seconds"]
    x, y = row["at"]

    def overlap(clip: Clip) -> float:
        a, b = clip.extra["seconds"]
        left, top, right, bottom = clip.extra["box"]
        if clip.extra["film"] != row["film"] or not (left <= x <= right and top <= y <= bottom):
            return 0.0
        return float(max(0.0, min(end, b) - max(start, a)) / (max(end, b) - min(start, a)))

    best = max(clips, key=overlap, default=None)
    return best if best is not None and overlap(best) >= OVERLAP else None


def judge(row: dict[str, Any], clip: Clip | None) -> dict[str, Any]:
    """What is right about the texts of one segment."""
    body = row["modality"] == "body"
    extra = clip.extra if clip is not None else {}
    caption = clip.captions[0] if clip is not None and clip.captions else ""
    texts = {"caption": caption, **{level: str(extra.get(level, "")) for level in LEVELS[1:]}}
    judged: dict[str, Any] = {level: well_formed(texts[level], level) for level in (LEVELS if body else LEVELS[:1])}
    if body:
        judged["person"] = names_person(caption, row["person"])
    judged["action"] = says(caption, row["words"]) and not says(caption, row["never"])
    return {"clip": clip is not None, **judged, "text": caption, "truth": row["does"]}


def run(
    films: Path, work: Path, text: str = "describer", llm: str = "", truth: Path = TRUTH, workers: int = 1,
    rows: bool = False,
) -> dict[str, Any]:
    """Curate and judge; `work` is the folder of data sets and results, `llm` as of data curate."""
    work.mkdir(parents=True, exist_ok=True)
    output = work / ("llm" if llm else text)
    how = ["--llm", llm] if llm else ["--set", f"text.plain=[{text}]"]
    code = command(["data", "curate", str(films), "-o", str(output), "--work", str(work / "stages"),
                    "--workers", str(workers), *how])  # fmt: skip
    if code:
        raise SystemExit(code)
    if (output / "planning").is_dir():
        read_planning_pairs(output / "planning")
    segments = [row for _, row in json_rows(truth)]
    stores = {m: list(Store.open(output / m).clips()) if (output / m).is_dir() else [] for m in ("body", "face")}
    judged = [judge(row, clip_of(row, stores[row["modality"]])) for row in segments]
    figures = {}
    for modality in stores:
        share = [r for r, t in zip(judged, segments, strict=True) if t["modality"] == modality]
        keys = [k for k, v in share[0].items() if isinstance(v, bool)] if share else []
        figures[modality] = {"segments": len(share), **{k: sum(r[k] for r in share) for k in keys}}
    return {"figures": figures, **({"rows": judged} if rows else {})}
