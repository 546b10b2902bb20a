"""What the options of ``avatargpt face`` mean: numbers for shapes, and where the driver lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqvae.errors import UserError

FORMER_LIPS = {"taught": "rule", "paired": "recorded"}  # of version 0.1, accepted for one release


def numbers(option: str, arguments: Sequence[str]) -> dict[str, float]:
    """``SHAPE=NUMBER`` arguments.

    Raises:
        UserError: another form, an unknown shape, or one twice, in whatever spelling.
    """
    from avatargpt.face.audio_model.controls import shapes

    out: dict[str, float] = {}
    seen: set[tuple[str, ...]] = set()
    for argument in arguments:
        name, _, text = argument.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise UserError(f"{option} {argument}: accepted SHAPE=NUMBER, for example {option} jawOpen=0.5")
        if shapes(name) in seen:
            raise UserError(f"{option} {argument}: {name} is named twice")
        seen.add(shapes(name))
        out[name] = value
    return out


def format_options(
    paths: Sequence[Path], layout: str | None, size: int | None, audio: Path | None
) -> list[dict[str, Any]]:  # fmt: skip
    """For each output file the options that its format has; a layout goes to the formats that know it.

    Raises:
        UserError: a layout or a size that none of the files can use.
    """
    from avatargpt.export import has_option
    from avatargpt.export.table import layouts

    known = {p: layouts(p, "face") for p in paths if p.suffix.lower() in (".json", ".vrma")}
    if layout is not None and not any(layout in names for names in known.values()):
        if not known:
            raise UserError(f"--layout {layout}: none of the output files has layouts; accepted with .json and .vrma")
        accepted = "; ".join(f"{path}: {', '.join(names)}" for path, names in known.items())
        raise UserError(f"--layout {layout}: accepted for {accepted}")
    if size is not None and not any(has_option(p, "size") for p in paths):
        raise UserError(f"--size {size}: none of the output files is a film; accepted with .mp4, .mov and .gif")
    out: list[dict[str, Any]] = []
    for path in paths:
        own = {
            "layout": layout if layout in known.get(path, ()) else None,
            "size": size if has_option(path, "size") else None,
            "audio": audio if has_option(path, "audio") else None,
        }  # fmt: skip
        out.append({name: value for name, value in own.items() if value is not None})
    return out


def check_lips(lips: str, sound: bool, by: str) -> None:
    """Whose lips: those of recorded pairs follow sound, and are the driver's."""
    from avatargpt.face.audio_model.conditioning import HEADS

    if lips not in HEADS:
        raise UserError(f"--lips {lips}: unknown; accepted {', '.join(HEADS)}")
    if lips == "recorded" and (not sound or by != "driver"):
        raise UserError("--lips recorded: follows sound; accepted with AUDIO, - or --microphone")
