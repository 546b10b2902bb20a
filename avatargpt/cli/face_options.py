"""What the options of ``avatargpt face`` mean: emotion keyframes, numbers for shapes, and where the driver lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruct_data.face.emotions import named_emotion
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.face.audio_model.conditioning import Feeling

USUAL = 0.7  # intensity of an emotion without a number
_REST = ("neutral", "calm")  # no feeling at all
_FORM = "NAME, NAME:0..1, NAME:0..1+NAME:0..1, or SECOND:NAME[:0..1],SECOND:NAME[:0..1] with rising seconds"
FORMER_LIPS = {"taught": "rule", "paired": "recorded"}  # of version 0.1, accepted for one release


def emotions(argument: str, seconds: float | None = None) -> list[Feeling]:
    """Keyframes that an ``--emotion`` argument stands for; between two the feeling changes in a straight line.

    Args:
        argument: ``angry``, ``angry:0.8``, ``sad:0.7+angry:0.2`` or ``0:calm,2.5:angry:0.8``.
        seconds: length of the clip where it is known.

    Raises:
        UserError: unknown emotion (with the nearest name), an intensity outside 0..1, seconds that do not rise or lie
            outside the clip, or another form.
    """
    from avatargpt.face.audio_model.conditioning import TOGETHER, Feeling

    parts = [p.strip() for p in argument.split(",")]
    timed = [_is_number(p.split(":")[0].strip()) for p in parts]
    if len(parts) > 1 and not all(timed):
        raise UserError(f"--emotion {argument}: {parts[timed.index(False)]!r} has no second; accepted {_FORM}")
    out: list[Feeling] = []
    for part in parts:
        when, _, rest = part.partition(":") if timed[0] else ("0", "", part)
        second, together = _number(argument, when.strip(), "a second"), rest.split("+")
        if len(together) > TOGETHER:
            raise UserError(f"--emotion {argument}: {len(together)} feelings at once; accepted up to {TOGETHER}")
        felt = [_felt(argument, part, one) for one in together]
        if not 0 <= second < 1e6 or (seconds is not None and second > seconds):
            limit = "0 or more" if seconds is None else f"0 to {seconds:g}, the clip's length"
            raise UserError(f"--emotion {argument}: second {second:g}; accepted {limit}")
        if out and second <= out[-1].second:
            raise UserError(f"--emotion {argument}: second {second:g} after {out[-1].second:g}; accepted: rising")
        if len({name for name, _ in felt}) < len(felt):
            raise UserError(f"--emotion {argument}: {part!r} names a feeling twice; accepted: each once")
        (name, strength), *beside = sorted(felt, key=lambda one: -one[1])
        out.append(Feeling(second, name, strength, tuple(one for one in beside if one[1] > 0)))
    return out


def _is_number(text: str) -> bool:
    """Whether a text can only be meant as a number; that it is none is said elsewhere."""
    return text in ("nan", "inf") or (text != "" and {*text} <= {*"-+0123456789.eE"})


def _felt(argument: str, part: str, one: str) -> tuple[str, float]:
    """NAME or NAME:0..1 -> name and strength."""
    fields = [f.strip() for f in one.split(":")]
    if not 1 <= len(fields) <= 2 or not fields[0]:
        raise UserError(f"--emotion {argument}: {part!r}; accepted {_FORM}")
    name = named_emotion(fields[0])
    strength = USUAL if len(fields) == 1 else _number(argument, fields[1], "an intensity")
    if not 0 <= strength <= 1:
        raise UserError(f"--emotion {argument}: intensity {strength:g}; accepted 0 to 1")
    return ("calm", 0.0) if name in _REST else (name, strength)


def _number(argument: str, text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"--emotion {argument}: {text!r} is not {what}; accepted {_FORM}")
    return value


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
    from avatargpt.export.face.json import LAYOUTS as JSON_LAYOUTS
    from avatargpt.export.face.vrma import LAYOUTS as VRMA_LAYOUTS

    layouts = {".json": JSON_LAYOUTS, ".vrma": VRMA_LAYOUTS}
    known = {p: layouts[p.suffix.lower()] for p in paths if p.suffix.lower() in layouts}
    if layout is not None and not any(layout in names for names in known.values()):
        if not known:
            raise UserError(f"--layout {layout}: none of the output files has layouts; accepted with .json and .vrma")
        accepted = "; ".join(f"{path}: {', '.join(names)}" for path, names in known.items())
        raise UserError(f"--layout {layout}: accepted for {accepted}")
    if size is not None and not any(p.suffix.lower() in (".mp4", ".gif") for p in paths):
        raise UserError(f"--size {size}: none of the output files is a film; accepted with .mp4 and .gif")
    out: list[dict[str, Any]] = []
    for path in paths:
        film = path.suffix.lower() in (".mp4", ".gif")
        own = {
            "layout": layout if layout in known.get(path, ()) else None, "size": size if film else None,
            "audio": audio if path.suffix.lower() == ".mp4" else None,
        }  # fmt: skip
        out.append({name: value for name, value in own.items() if value is not None})
    return out


def driver_folder(model: Path | None) -> Path:
    """Where the driver's weights lie.

    Raises:
        UserError: there are none.
    """
    from avatargpt.resources import PACKAGE

    if model is not None and not model.is_dir():
        raise UserError(f"--model {model}: no such folder; accepted a folder of weights")
    root = PACKAGE / "weights" if model is None else model
    for folder in (root / "driver", root):
        if (folder / "driver.json").is_file():
            return folder
    raise UserError(
        f"{root / 'driver'}: no driver weights; train them with `python scripts/train.py driver` (docs/speech.md), or "
        "name a folder that has them with --model"
    )


def check_lips(lips: str, sound: bool, by: str) -> None:
    """Whose lips: those of recorded pairs follow sound, and are the driver's."""
    from avatargpt.face.audio_model.conditioning import HEADS

    if lips not in HEADS:
        raise UserError(f"--lips {lips}: unknown; accepted {', '.join(HEADS)}")
    if lips == "recorded" and (not sound or by != "driver"):
        raise UserError("--lips recorded: follows sound; accepted with AUDIO, - or --microphone")
