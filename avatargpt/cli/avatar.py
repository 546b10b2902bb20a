"""``avatargpt avatar``: what an avatar's file has, and the options that move it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import argument, note, option, say

if TYPE_CHECKING:
    from avatargpt.export.avatar_file import AvatarFile


def avatar(
    file: Annotated[Path, argument("FILE", "An avatar: .vrm, .glb or .gltf.")],
    output: Annotated[
        Path | None, option("-o --output FILE", "Write it with ARKit's shapes made for its head.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """What an avatar has (face, presets, Perfect Sync, bones, scale), and which options move it.

    A preset or shape that moves nothing does not count, unless none does. --avatar FILE of `face`, `speak` and
    `gesture` takes names and places from the file by itself.
    """
    from avatargpt.export.avatar_file import read_avatar
    from avatargpt.export.face_making import write_shapes

    if output is not None:
        common.check_not_source(output, [file])
        note(f"{file}: {write_shapes(file, output)}")
        file = output
    read = read_avatar(file)
    values = _values(read)
    if as_json:
        common.print_json({"file": str(file), **values})
        return
    say(f"kind: {values['kind']}")
    say(f"face: {read.face.line}")
    say(f"presets: {', '.join(values['presets']) or 'none'}")
    count = len(values["perfect_sync"])
    spelling = f" ({read.perfect_sync['jawOpen']} ...)" if "jawOpen" in read.perfect_sync else ""
    say(f"Perfect Sync: {count} of 52 shapes{spelling}")
    if values["empty"]:
        say(f"moves nothing: {len(values['empty'])} of {len(read.expressions)} expressions")
    bones = f"{len(read.bones)} bones" if read.bones else "no humanoid bones named"
    fingers, toes = ("with" if values[k] else "without" for k in ("fingers", "toes"))
    say(f"bones: {bones}" + f", {fingers} fingers, {toes} toes" * bool(read.bones))
    if read.missing:
        say(f"missing bones: {', '.join(read.missing)}")
    if read.hips:
        say(f"scale: hips at {read.hips:.2f} m, head at {read.head:.2f} m")
    for line in values["notes"]:
        say(f"note: {line}")
    for line in values["options"]:
        say(f"use: {line}")


def _values(file: AvatarFile) -> dict[str, Any]:
    """All figures, notes and options."""
    from avatargpt.export.avatar_file import MAX_HEIGHT, MIN_HEIGHT, PLAIN
    from avatargpt.export.expressions import BLINKS

    notes, options = [], []
    moves_nothing = not any(file.expressions.values())
    if file.expressions and moves_nothing:
        notes.append("none of its expressions moves anything; a program that shows it may fill them in")
    if file.head and not MIN_HEIGHT <= file.head <= MAX_HEIGHT:
        notes.append(f"the head is at {file.head:g}; VRM counts in metres")
    if not file.face.speaks or not {*BLINKS, "eyeBlinkLeft"} & set(file.face.used):
        made = f"MADE{file.path.suffix if file.path.suffix != '.gltf' else '.glb'}"
        options.append(f"avatargpt avatar {file.path.name} -o {made}  # shapes made for its head")
    if file.kind == PLAIN and file.names is not None:
        options.append("avatargpt face TALK.wav -o TALK.csv  # curves under the names of the 52 shapes")
    elif file.names is not None:
        if "jawOpen" not in file.perfect_sync:
            notes.append("lips by presets alone: five vowels and closed lips; f, v and l show as a nearly shut mouth")
        options.append(f"avatargpt speak TALK.wav --names {file.names} -o TALK.vrma")
        options.append(f"avatargpt face TALK.wav --vmc 127.0.0.1 --avatar {file.path.name}")
    if file.bones or file.kind == PLAIN:
        out = f"OUT{file.path.suffix}" if file.path.suffix != ".gltf" else "OUT.glb"
        options.append(f"avatargpt speak TALK.wav --character {file.path.name} -o {out}")
    return {
        "kind": file.kind, "face": file.face.line, "mouth": file.face.mouth, "presets": file.presets,
        "perfect_sync": file.perfect_sync, "names": file.names,
        "expressions": list(file.expressions), "empty": [n for n, c in file.expressions.items() if not c],
        "bones": list(file.bones), "missing": file.missing,
        "fingers": any("Index" in b for b in file.bones), "toes": "LeftToes" in file.bones,
        "hips": round(file.hips, 4), "head": round(file.head, 4), "notes": notes, "options": options,
    }  # fmt: skip
