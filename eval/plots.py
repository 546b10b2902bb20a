"""Plots of a suite's main figures: the model with its interval, baselines as marks, targets as lines."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports import MODEL, Line, Report, number

from vqvae.errors import UserError
from vqvae.motion import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES, MOST_PANELS = 16, 6
ALIKE = 8.0  # values of one unit share an axis up to this ratio of the largest
BLENDS = (1.0, 0.8, 0.6, 0.4, 0.2)  # of a colour with white: what edges are drawn smooth with
WIDTH, LINE, FRAME, DPI = 8.0, 0.27, 0.62, 100  # inches; a panel is its lines and its frame high
SHOWN = 38  # characters of a name
ARROWS = {"higher": "\u2191", "lower": "\u2193", "as real": "", "": ""}
BLUE, RED, BLACK, GREY = "#1f5fa8", "#c8102e", "#000000", "#666666"
MARKS = (("D", "#2a9d55"), ("s", "#e08214"), ("^", "#7b3fa0"), ("X", GREY), ("v", "#b8860b"), ("P", "#d6569a"),
         ("<", "#17848f"), (">", "#8c564b"), ("p", "#9aa61f"))  # fmt: skip


def panels(report: Report) -> list[list[Line]]:
    """The lines that are drawn, by the axis they share: shares together, others by unit and size."""
    out: list[list[Line]] = []
    for line in report.lines():
        if sum(map(len, out)) == MOST_LINES:
            break
        for panel in out:
            sizes = [x.size for x in panel] + [line.size]
            if panel[0].unit == line.unit and (line.unit == "share" or max(sizes) <= ALIKE * min(sizes)):
                panel.append(line)
                break
        else:
            if len(out) < MOST_PANELS:
                out.append([line])
    return out


def picture(report: Report) -> bytes:
    """The plot of a suite that has `panels`, as PNG, 800 pixels wide; equal results give equal bytes."""
    try:
        import matplotlib
    except ImportError:
        raise UserError('plots of results need matplotlib: pip install "avatargpt[eval]"') from None
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # whatever the user has set
        return _drawn(report)


def _drawn(report: Report) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    parts = panels(report)
    rows = list(dict.fromkeys(r for panel in parts for line in panel for r in line.marks if r != MODEL))
    looks = {row: MARKS[i % len(MARKS)] for i, row in enumerate(rows)}
    heights = [LINE * len(panel) + FRAME for panel in parts]
    drawn = Figure(figsize=(WIDTH, sum(heights) + 0.5), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(drawn)
    axes = drawn.subplots(len(parts), 1, gridspec_kw={"height_ratios": heights}, squeeze=False)[:, 0]
    for axis, panel in zip(axes, parts, strict=True):
        _panel(axis, panel, looks)
    _legend(drawn, looks, [line for panel in parts for line in panel], "own class" if report.of_classes else MODEL)
    if left := len(report.lines()) - sum(map(len, parts)):
        drawn.supxlabel(f"{left} more figure{'s' * (left > 1)} in the results", fontsize=8, color=GREY)
    canvas.draw()
    # A palette in place of full colours: a fraction of the bytes.
    image = Image.frombuffer("RGBA", canvas.get_width_height(), canvas.buffer_rgba()).convert("RGB")
    palette = Image.new("P", (1, 1))
    palette.putpalette(_palette())
    file = io.BytesIO()
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()


# Red, green and blue of every colour that is drawn, on white.
def _palette() -> list[int]:
    out = [255] * 3
    for colour in (BLUE, RED, BLACK, *(c for _, c in MARKS)):
        parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        out += [round(255 + b * (c - 255)) for b in BLENDS for c in parts]
    return out


# A line for each figure; its value stands at the right.
def _panel(axis: Axes, panel: Sequence[Line], looks: dict[str, tuple[str, str]]) -> None:
    share = panel[0].unit == "share"
    for at, line in enumerate(panel):
        for row, figure in line.marks.items():
            mark, colour = ("o", BLUE) if row == MODEL else looks[row]
            if row == MODEL and figure.get("low") is not None:
                axis.plot([figure["low"], figure["high"]], [at, at], color=colour, lw=2.2, solid_capstyle="butt")
            axis.plot(figure["mean"], at, mark, color=colour, ms=5.5 if row == MODEL else 7, mec="white", mew=0.5,
                      zorder=3 if row == MODEL else 2, clip_on=False)  # fmt: skip
        if isinstance(line.target, float | int):
            axis.plot([line.target] * 2, [at - 0.36, at + 0.36], color=RED, lw=1.8)
        if MODEL in line.marks:
            axis.text(1.02, at, number(line.marks[MODEL]["mean"], line.unit), transform=axis.get_yaxis_transform(),
                      va="center", fontsize=8)  # fmt: skip
    axis.set_yticks(range(len(panel)), [_label(line) for line in panel], fontsize=8)
    axis.set_ylim(len(panel) - 0.4, -0.6)
    low, high = axis.get_xlim()
    lowest = min(f.get("low", f["mean"]) for line in panel for f in line.marks.values())
    if share:
        axis.set_xlim(-0.01, 1.01)
        axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    else:
        axis.set_xlim(0 if lowest >= 0 else low, high)
        axis.set_xlabel(panel[0].unit, fontsize=8, labelpad=2)
    axis.tick_params(axis="x", labelsize=8)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _label(line: Line) -> str:
    name = line.name if len(line.name) <= SHOWN else f"{line.name[: SHOWN - 2]} .."
    return f"{name} {ARROWS[line.better]}".rstrip()


def _legend(drawn: Figure, looks: dict[str, tuple[str, str]], lines: Sequence[Line], model: str) -> None:
    from matplotlib.lines import Line2D

    entries = []
    if any(MODEL in line.marks for line in lines):
        span = any(line.marks.get(MODEL, {}).get("low") is not None for line in lines)
        named = f"{model}, 95 %" if span else model
        entries.append(Line2D([], [], marker="o", color=BLUE, lw=2.2 if span else 0, mec="white", label=named))
    entries += [Line2D([], [], marker=m, color=c, ms=7, lw=0, mec="white", label=row) for row, (m, c) in looks.items()]
    if any(isinstance(line.target, float | int) for line in lines):
        entries.append(Line2D([], [], marker="|", color=RED, lw=0, ms=9, mew=1.8, label="target"))
    drawn.legend(handles=entries, loc="outside upper center", ncols=min(len(entries), 5), fontsize=8, frameon=False)


def draw_all(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Write ``SUITE.png`` of every suite that has something to draw."""
    drawn = {report.name: picture(report) for report in reports if panels(report)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f"cannot make {folder}: {e.strerror or e}") from None
    return [atomic_write(folder / f"{name}.png", lambda p, data=data: p.write_bytes(data))  # type: ignore[misc]
            for name, data in drawn.items()]  # fmt: skip
