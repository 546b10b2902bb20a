"""``avatargpt rig``: what is understood of a file's skeleton."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import argument, note, option, say
from avatargpt.cli.motion import RIGS, Animation, JointMap, Unit, joints_of, unit_of
from vqvae.errors import UserError
from vqvae.io.files import atomic_write, parsing, regular_file

if TYPE_CHECKING:
    from vqvae.rig import Rig

SUFFIXES = (".json", ".png")
RigUp = Annotated[str | None, option("--up AXIS", "Which axis is up: x, y, z, -x, -y or -z.")]


def rig(
    file: Annotated[Path, argument("FILE", "A .bvh, .glb, .fbx, .usd ...; PACK.glb#NAME: one of several animations.")],
    output: Annotated[Path | None, option("-o --output FILE", "A picture (.png) or everything (.json).")] = None,
    joints: JointMap = None,
    up: RigUp = None,
    unit: Unit = None,
    animation: Animation = None,
    as_json: common.Json = False,
) -> None:
    """What is understood of a skeleton: which joints are ours, its rest pose, axes and unit, how sure that is.

    Where something is wrong, --map, --up and --unit say it; `export` and `describe` take them, too.
    """
    from avatargpt import export

    if output is not None:
        if output.suffix.lower() not in SUFFIXES:
            raise UserError(f"{output}: cannot write '{output.suffix or output.name}'; accepted {' '.join(SUFFIXES)}")
        common.check_not_source(export.check_target(output), [export.split_animation_name(file)[0]])
    read = _read(file, animation, up, unit, joints)
    from vqvae.rig_report import report

    with parsing(file, "a skeleton that is understood"):
        values, reading, motion = report(read)
    for line in values["notes"]:
        note(f"{file}: {line}")
    if output is not None and output.suffix.lower() == ".json":
        text = json.dumps({"file": str(file), **values}, indent=1) + "\n"
        atomic_write(output, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    elif output is not None:
        from avatargpt.export.rig_sheet import write_rig_sheet

        write_rig_sheet(values, reading, motion, file.name, output)
    if as_json:
        common.print_json({"file": str(file), **values})
        return
    _print(values)
    if output is not None:
        say(output)


def _read(file: Path, animation: str | None, up: str | None, unit: str | None, joints: Path | None) -> Rig:
    """The file's rig, with what the options state."""
    from avatargpt import export
    from avatargpt.export.fbx import as_glb
    from avatargpt.export.usd import SUFFIXES as USD
    from avatargpt.export.usd import read_usd_rig
    from vqvae.io.asf import read_acclaim_rig
    from vqvae.io.bvh import read_bvh_rig
    from vqvae.io.gltf import read_gltf
    from vqvae.io.gltf_rigs import read_rig

    path, named = export.split_animation_name(file)
    suffix = regular_file(path).suffix.lower()
    if suffix not in RIGS:
        raise UserError(f"{path}: cannot read '{suffix or path.name}' as a skeleton; accepted {' '.join(RIGS)}")
    known: dict[str, Any] = {"up": up, "unit": unit_of(unit), "joints": joints_of(joints)}
    if suffix not in export.PACKS:
        if animation is not None:
            raise UserError(f"{path}: --animation goes with {' and '.join(export.PACKS)}; other files hold one motion")
        if suffix in USD:
            return read_usd_rig(path, **known)
        return read_acclaim_rig(path, **known) if suffix == ".amc" else read_bvh_rig(path, **known)
    if suffix == ".fbx":
        with as_glb(path) as converted:
            return read_rig(read_gltf(converted), converted, animation or named, still=True, **known)
    gltf = read_gltf(path)
    with parsing(path, "a humanoid with an animation"):
        return read_rig(gltf, path, animation or named, still=True, **known)


def _print(values: dict[str, Any]) -> None:
    bones = values["bones_degrees"]
    worst = max(bones, key=lambda b: bones[b]["max"], default="")
    found = f"{len(values['joints'])} of {len(values['joints']) + len(values['not_found'])} joints"
    say(f"confidence: {values['confidence']:.2f} (weakest: {values['weakest']})")
    say(f"joints: {found}" + f"; not found: {', '.join(values['not_found'])}" * bool(values["not_found"]))
    say(f"rest: {values['rest']}")
    say(f"up: {values['up']}; a unit is {values['metres_per_unit']:g} m by the legs")
    say(f"frames: {values['frames']} at {values['fps']:g} a second")
    if worst:
        say(f"bones: {worst} differs most, by {bones[worst]['mean']:g} degrees (up to {bones[worst]['max']:g})")
