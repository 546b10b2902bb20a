"""What was understood of a rig as a picture: the file's joints, our body, and the table of joints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avatargpt.export.mesh import PALETTE
from avatargpt.export.renderers import capsule_ends, fit_view
from avatargpt.export.sheet import CELL_HEIGHT, CELL_WIDTH, INK, QUIET, SUPERSAMPLE, body_row
from vqvae import rotations as rot
from vqvae.io.files import atomic_write
from vqvae.motion import Motion
from vqvae.retarget import RigReading
from vqvae.rig_report import upright_places
from vqvae.skeleton import SMPL22

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

FRAMES = 6
COLUMNS, LINE = 4, 17  # of the table of joints, and pixels of a line
TEXT = 26  # joints' names are cut to so many letters
MARGIN, OTHERS = 0.04, 1.5  # of a cell's edges; times the reach of our joints, beyond which others may be cut
_SIDES = {"l_": PALETTE["l_arm"], "r_": PALETTE["r_arm"]}
_OTHER = (196, 202, 210)


def write_rig_sheet(values: dict[str, Any], reading: RigReading, motion: Motion, title: str, path: Path) -> Path:
    """Write the picture of :func:`vqvae.rig_report.report`: above the file's own joints, the ones that are ours in
    colour, below our body in the same frames, and which joint is which."""
    from PIL import Image, ImageDraw, ImageFont

    big, small = ImageFont.load_default(17), ImageFont.load_default(12)
    rows = -(-len(SMPL22.names) // COLUMNS)
    width, head = FRAMES * CELL_WIDTH + 24, 76 + 18 * len(values["notes"])
    sheet = Image.new("RGB", (width, head + 2 * CELL_HEIGHT + 16 + rows * LINE + 20), "white")
    draw = ImageDraw.Draw(sheet)
    lines = [
        f"confidence {values['confidence']:.2f} (weakest: {values['weakest']}); rest: {values['rest']}; "
        f"{values['up']} up; a unit is {values['metres_per_unit']:g} m; {values['frames']} frames at {values['fps']:g}",
        f"bones differ by up to {max((b['max'] for b in values['bones_degrees'].values()), default=0):g} degrees",
        *values["notes"],
    ]  # fmt: skip
    draw.text((12, 10), _ascii(title, 90), INK, big)
    for k, line in enumerate(lines):
        draw.text((12, 36 + 18 * k), _ascii(line, 180), QUIET, small)
    index = np.rint(np.linspace(0, len(motion) - 1, FRAMES)).astype(int)
    for k, picture in enumerate(_sticks(reading, motion, index)):
        sheet.paste(picture, (12 + k * CELL_WIDTH, head))
    for k, (pixels, stamp) in enumerate(body_row(motion, FRAMES)):
        left, top = 12 + k * CELL_WIDTH, head + CELL_HEIGHT + 4
        sheet.paste(Image.fromarray(pixels).reduce(SUPERSAMPLE), (left, top))
        draw.text((left + 7, top + 4), stamp, QUIET, small)
    for k, name in enumerate(SMPL22.names):
        left, top = 12 + k // rows * ((width - 24) // COLUMNS), head + 2 * CELL_HEIGHT + 16 + k % rows * LINE
        theirs = values["joints"].get(name, "-")
        draw.text((left, top), f"{name}: {_ascii(theirs, TEXT)}", INK if name in values["joints"] else QUIET, small)
    return atomic_write(path, lambda temporary: sheet.save(temporary, format="PNG"))


def _sticks(reading: RigReading, motion: Motion, index: np.ndarray) -> list[Image]:
    """The rig's joints and the lines between them, seen as `body_row` sees our body, or from farther where they are
    longer or wider than it."""
    from PIL import Image, ImageDraw

    yaw = -float(motion.slice(0, 1).heading[0])
    turned = motion.moved(yaw, np.zeros(3))
    view = fit_view(capsule_ends(turned)[index], turned.root[index] * np.array([1, 0, 1]), CELL_WIDTH / CELL_HEIGHT)
    places = upright_places(reading)[index] @ rot.to_matrix(rot.about_y(np.array(yaw))).T
    pelvis = places[:, [reading.joints["pelvis"]]]
    seen = (places - pelvis * np.array([1, 0, 1]) - np.array([0, view.height, 0])) @ view.axes.T[:, :2]
    span, middle = _fit_cell(seen[:, _choose_shown(reading, places - pelvis)], view.span)
    names = {j: n for n, j in reading.joints.items()}
    out = []
    for row in (seen - middle) * [1, -1] * CELL_HEIGHT / span:
        points = (row + np.array([CELL_WIDTH, CELL_HEIGHT]) / 2) * SUPERSAMPLE
        picture = Image.new("RGB", (CELL_WIDTH * SUPERSAMPLE, CELL_HEIGHT * SUPERSAMPLE), (244, 246, 249))
        _draw_tree(ImageDraw.Draw(picture), points, reading, names)
        out.append(picture.reduce(SUPERSAMPLE))
    return out


def _choose_shown(reading: RigReading, from_pelvis: np.ndarray) -> list[int]:
    """The joints that are to be inside the picture: ours, and others about as near to the pelvis, (T, J, 3) metres."""
    reach = np.linalg.norm(from_pelvis, axis=-1).max(0)
    ours, parents = list(reading.joints.values()), reading.rig.parents
    drawn = {j for j, p in enumerate(parents) if p >= 0 and (p != 0 or 0 in ours)}
    return ours + [j for j in drawn if j not in ours and reach[j] <= OTHERS * reach[ours].max()]


def _fit_cell(seen: np.ndarray, span: float) -> tuple[float, np.ndarray]:
    """Metres that a cell's height covers, `span` or more, and the middle (2,) nearest to 0 that shows all (T, J, 2)."""
    low, high = seen.min((0, 1)), seen.max((0, 1))
    cell = np.array([CELL_WIDTH / CELL_HEIGHT, 1])
    span = max(span, float(((high - low) / (cell * (1 - 2 * MARGIN))).max()))
    half = span * cell * (0.5 - MARGIN)
    return span, np.clip(0, high - half, low + half)


def _draw_tree(draw: ImageDraw, points: np.ndarray, reading: RigReading, names: dict[int, str]) -> None:
    for j, p in enumerate(reading.rig.parents):
        colour = _SIDES.get(names.get(j, "")[:2], INK) if j in names else _OTHER
        if p >= 0 and not (p == 0 and 0 not in names):  # nothing leads from a root that is no joint of ours
            draw.line((*points[p], *points[j]), colour, 5)
        if j in names:
            x, y = points[j]
            draw.ellipse((x - 5, y - 5, x + 5, y + 5), colour)


def _ascii(text: str, letters: int) -> str:
    """As much as the built-in font has."""
    plain = text.encode("ascii", "replace").decode()
    return plain if len(plain) <= letters else plain[: letters - 3] + "..."
