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
    names, parents, ours = {j: n for n, j in reading.joints.items()}, reading.rig.parents, [*reading.joints.values()]
    # inside are ours, and others about as near to the pelvis; nothing leads from a root that is none of ours
    lines = {j: p for j, p in enumerate(parents) if p >= 0 and (p != 0 or 0 in ours)}
    reach = np.linalg.norm(places - pelvis, axis=-1).max(0)
    others = [j for j in lines if j not in ours and reach[j] <= OTHERS * reach[ours].max()]
    low, high = (edge(seen[:, [*ours, *others]], (0, 1)) for edge in (np.min, np.max))
    cell = np.array([CELL_WIDTH / CELL_HEIGHT, 1])
    span = max(view.span, float(((high - low) / (cell * (1 - 2 * MARGIN))).max()))
    half = span * cell * (0.5 - MARGIN)
    middle = np.clip(0, high - half, low + half)  # nearest to 0 that shows all
    out = []
    for row in (seen - middle) * [1, -1] * CELL_HEIGHT / span:
        points = (row + np.array([CELL_WIDTH, CELL_HEIGHT]) / 2) * SUPERSAMPLE
        picture = Image.new("RGB", (CELL_WIDTH * SUPERSAMPLE, CELL_HEIGHT * SUPERSAMPLE), (244, 246, 249))
        draw = ImageDraw.Draw(picture)
        for j, (x, y) in enumerate(points):
            colour = _SIDES.get(names.get(j, "")[:2], INK) if j in names else _OTHER
            if j in lines:
                draw.line((*points[lines[j]], x, y), colour, 5)
            if j in names:
                draw.ellipse((x - 5, y - 5, x + 5, y + 5), colour)
        out.append(picture.reduce(SUPERSAMPLE))
    return out


def _ascii(text: str, letters: int) -> str:
    """As much as the built-in font has."""
    plain = text.encode("ascii", "replace").decode()
    return plain if len(plain) <= letters else plain[: letters - 3] + "..."
