"""The report of a run: one HTML file with counts, reasons of rejects, and samples to look at beside the film."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from avatargpt.curate.questions import pictures_of
from avatargpt.curate.recipe import TextOptions
from avatargpt.curate.run import CurateRun, SegmentEntry
from avatargpt.curate.stages import Result, StageTask, Workshop
from avatargpt.curate.tracks import read_tracks
from vqvae.io.files import atomic_write

COLUMNS, HEIGHT = 4, 180  # pictures of a sample, and their height in pixels
LISTED = 300  # rejects that are listed one by one
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;margin:1em 0}td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:left}"
    "td.n{text-align:right}figure{margin:1.5em 0}img{max-width:100%}figcaption{color:#444}"
    "mark{background:#ffe9a8}small{color:#666}"
)
BY = {"model": "by the language model", "beside": "caption beside the film", "name": "by file name",
      "describer": "by the describer", "nobody": "without text"}  # fmt: skip


def picture_of(task: StageTask, shop: Workshop) -> Result:
    """Pictures of a segment, above our figure at the same times, as .jpg beside the result."""
    from PIL import Image

    from avatargpt.export.video import pictures

    span, row = task.inputs["span"], dict(task.inputs["track"])
    (track,) = read_tracks(Path(task.files["arrays"]), [row])
    options = TextOptions(pictures=COLUMNS, size=2 * HEIGHT)
    times, files = pictures_of(Path(task.files["film"]), span, row["box"], options)
    motion = track.piece(*span)
    at = np.clip(np.round((np.array(times) - span[0]) * motion.fps).astype(int), 0, len(motion) - 1)
    figures = list(islice(pictures(motion.at_frames(at), HEIGHT), len(at)))
    opened = [Image.open(io.BytesIO(f)) for f in files]
    images = [i.resize((max(1, round(i.width * HEIGHT / i.height)), HEIGHT)) for i in opened]
    width = max(HEIGHT, *(i.width for i in images))
    sheet = Image.new("RGB", (width * len(images), 2 * HEIGHT), "white")
    for k, (image, figure) in enumerate(zip(images, figures, strict=True)):
        sheet.paste(image, (k * width + (width - image.width) // 2, 0))
        sheet.paste(Image.fromarray(figure), (k * width + (width - HEIGHT) // 2, HEIGHT))
    atomic_write(shop.path(task, ".jpg"), lambda p: sheet.save(p, "JPEG", quality=85))
    return {"pictures": len(images)}


def write_report(
    path: Path, run: CurateRun, about: Mapping[str, Any], entries: Sequence[SegmentEntry], pictures: Mapping[str, Path]
) -> None:
    """Write the report; nothing in it depends on when the run was made, or on how often it was started."""
    # what stands after a colon differs from one reject to the next
    reasons = Counter((r["stage"], r["reason"].split(":")[0]) for r in run.rejects)
    counted = [(*key, n) for key, n in sorted(reasons.items(), key=lambda i: (-i[1], i[0]))]
    parts = [
        f"<title>{escape(run.recipe.dataset.name)}</title><h1>{escape(run.recipe.dataset.name)}: films as data</h1>",
        f"<p>{about['used']} of {about['films']} films, {about['hours']:.2f} hours of segments; "
        + ", ".join(f"{count} clips of {m}" for m, count in about["clips"].items())
        + f"; {about['scenes']} scenes. Texts: "
        + ", ".join(f"{count} {BY[by]}" for by, count in about["texts"].items()) + ".</p>",
        "<h2>Stages</h2>", _table(
            ("stage", "tasks", "rejected"), [(n, c.tasks, c.rejected) for n, c in run.counts.items()]),
        "<h2>Left out</h2>", _table(("stage", "reason", "count"), counted),
        "<details><summary>one by one</summary>",
        _table(("what", "stage", "reason"), [(r["name"], r["stage"], r["reason"]) for r in run.rejects[:LISTED]]),
        f"<p>{len(run.rejects) - LISTED} more in rejects.jsonl</p>" if len(run.rejects) > LISTED else "",
        "</details><h2>Samples</h2>",
        *(_sample(e, pictures[e.piece.name]) for e in entries if e.piece.name in pictures),
    ]  # fmt: skip
    page = f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{STYLE}</style><body>{"".join(parts)}</html>\n'
    path.write_text(page, encoding="utf-8")


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    cells = [
        "".join(f'<td class="n">{c}</td>' if isinstance(c, int) else f"<td>{escape(str(c))}</td>" for c in row)
        for row in rows
    ]
    return f"<table><tr>{head}</tr>" + "".join(f"<tr>{c}</tr>" for c in cells) + "</table>"


def _sample(entry: SegmentEntry, picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    piece, extra = entry.piece, entry.extra
    lines = [f"<b>{escape(c)}</b>" for c in entry.captions[:1]] + [escape(c) for c in entry.captions[1:]]
    lines += [f"{key}: {escape(extra[key])}" for key in ("scene", "activity", "step", "place") if extra.get(key)]
    if units := extra.get("units"):
        lines.append("units: " + escape(", ".join(f"{u['unit']} {u['strength']}" for u in units)))
    if piece.words:
        lines.append(f"spoken: {escape(piece.words)}")
    by = f"<mark>{BY[entry.by]}</mark>" if entry.by != "model" else BY["model"]
    where = f"<small>{escape(piece.name)}, {piece.span[0]:.2f} to {piece.span[1]:.2f} s; {by}</small>"
    image = f'<img alt="film and figure" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}<figcaption>{'<br>'.join([*lines, where])}</figcaption></figure>"
