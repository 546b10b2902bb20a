"""``avatargpt data body``: joints and meshes of AMASS' bodies, where the body models are there."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import Annotated

import typer

from avatargpt.cli import common
from avatargpt.cli.output import say
from vqvae.errors import UserError


def body(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A motion of AMASS, .npz.")],
    models: Annotated[
        Path, typer.Option("--models", metavar="PATH", help="Folder of the body models (.npz), or one such file.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="OUT", help=".npz: joints; .obj: a frame; a new folder: .obj of frames."
        ),
    ],
    frame: Annotated[int, typer.Option("--frame", metavar="N", min=0, help="Of an .obj.")] = 0,
    every: Annotated[int, typer.Option("--every", metavar="N", min=1, help="Of a folder: every Nth frame.")] = 1,
    gender: Annotated[
        str | None, typer.Option("--gender", metavar="NAME", help="neutral, male or female; default: the file's.")
    ] = None,
    up: Annotated[str, typer.Option("--up", metavar="AXIS", help="Of the file: y or z.")] = "z",
    quiet: common.Quiet = False,
) -> None:
    """Pose a body model as a motion says: joints of the body's own shape, or its mesh; metres, Y up."""
    import numpy as np

    from vqvae.io.files import atomic_write
    from vqvae.io.smplx import BodyModel, check_up, find_model, read_parameters, write_obj

    suffix = output.suffix.lower()
    if suffix not in (".npz", ".obj", ""):
        raise UserError(f"{output}: accepted .npz, .obj, or a name without suffix for a new folder")
    if not suffix and output.exists():
        raise UserError(f"{output}: is there already; accepted: a new folder")
    check_up(up)
    said = read_parameters(file)
    if suffix == ".obj" and frame >= len(said.poses):
        raise UserError(f"--frame {frame}: {file} has {len(said.poses)} frames; accepted 0 to {len(said.poses) - 1}")
    model = BodyModel.load(find_model(models, said.kind, gender or said.gender))
    with common.progress("posing", quiet):
        if suffix == ".npz":
            joints = model.joints_of(said, up)
            atomic_write(output, lambda temporary: np.savez(temporary, joints=joints, fps=said.fps))
            say(f"{output}: joints {joints.shape}")
            return
        wanted = said.at_frames([frame] if suffix else list(range(0, len(said.poses), every)))
        if suffix:
            vertices, _ = next(model.posed(wanted, up))
            say(f"{write_obj(vertices[0], model.faces, output)}: {len(vertices[0])} vertices")
            return
        building = output.with_name(f".{output.name}.{secrets.token_hex(8)}.tmp")
        count = 0
        try:
            for vertices, _ in model.posed(wanted, up):
                for mesh in vertices:
                    write_obj(mesh, model.faces, building / f"{count * every:05d}.obj")
                    count += 1
            building.rename(output)
        except OSError as e:
            raise UserError(f"cannot write {output}: {e.strerror or e}") from None
        finally:
            shutil.rmtree(building, ignore_errors=True)
    say(f"{output}: {count} meshes")
