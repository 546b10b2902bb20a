"""100STYLE (Mason et al. 2022): one performer in a hundred styles of locomotion, 60 frames a second.

Files are called ``STYLE/STYLE_KIND.bvh``; ``Frame_Cuts.csv`` says for each style, in columns ``KIND_START`` and
``KIND_STOP``, which frames are the movement, without the T-pose at both ends. Source: ianxmason.com/100style.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from instruct_data.clip import Clip
from instruct_data.corpora.bodies import BodyFile, taken
from instruct_data.corpora.layout import Layout, check_split, files
from instruct_data.corpora.wording import words_of
from instruct_data.sources.report import Report
from vqvae.errors import UserError
from vqvae.io.files import parsing, read_text

LAYOUT = Layout(
    "100style", "CC BY 4.0", ("Frame_Cuts.csv", "*/*_*.bvh"),
    "Frame_Cuts.csv and STYLE/STYLE_KIND.bvh, as Aeroplane/Aeroplane_FW.bvh",
)  # fmt: skip
MOST_TEXT = 1 << 24
KINDS = {
    "FW": ("walk", "a person walks forward"), "FR": ("run", "a person runs forward"),
    "BW": ("walk_back", "a person walks backward"), "BR": ("run_back", "a person runs backward"),
    "SW": ("walk_sideways", "a person walks sideways"), "SR": ("run_sideways", "a person runs sideways"),
    "ID": ("stand", "a person stands"), "TR1": ("change_gait", "a person stops, goes and changes gait"),
    "TR2": ("change_gait", "a person stops, goes and changes gait"),
    "TR3": ("change_gait", "a person stops, goes and changes gait"),
}  # fmt: skip


def read_style100(folder: str | os.PathLike[str], report: Report, split: str | None = None) -> Iterator[Clip]:
    """Every take between its cuts, with a sentence of its kind and style.

    Raises:
        UserError: another folder, a split that there is not, or a table of cuts that is none.
    """
    check_split(split)
    root = LAYOUT.opened(folder)
    known = cuts(root / "Frame_Cuts.csv")
    for path in files(root, "*/*_*.bvh"):
        style, _, kind = path.stem.rpartition("_")
        if kind not in KINDS:
            report.skip(path.stem, f"kind {kind}; known: {', '.join(KINDS)}")
            continue
        if path.stem not in known:
            report.skip(path.stem, "no cut of it in Frame_Cuts.csv")
            continue
        action, said = KINDS[kind]
        words = words_of(style)
        caption = said if words == ["neutral"] else f"{said} in {' '.join(words)} style"
        load = BodyFile(path, caption, *known[path.stem])
        name = "_".join(words)
        yield from taken(
            Clip(path.stem, load, [caption], "100style", LAYOUT.licence, split or "train", action, name), report
        )


def cuts(path: Path) -> dict[str, tuple[int, int]]:
    """``STYLE_KIND`` -> first frame and the one behind the last; cells that are empty or N/A are left out.

    Raises:
        UserError: another table, or a cut that is no two rising whole numbers; names the line.
    """
    out: dict[str, tuple[int, int]] = {}
    with parsing(path, "a table of cuts", "accepted STYLE_NAME, then KIND_START and KIND_STOP of each kind"):
        rows = csv.DictReader(StringIO(read_text(path, MOST_TEXT)), strict=True)
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
