"""``avatargpt export``: one motion file format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from avatargpt.cli import common, reading
from avatargpt.options import FPS


def export(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A motion file.")],
    targets: Annotated[list[Path], typer.Argument(metavar="OUT...", help="Files to write; the suffix is the format.")],
    fps: Annotated[float | None, typer.Option("--fps", metavar="F", help="Change the frame rate first.")] = None,
    layout: Annotated[
        str | None, typer.Option("--layout", metavar="NAME", help=".npz: motion, smplx; .npy: hml263, pos7; "
            ".json: audio2face, beat; .vrma: both, arkit, presets.")
    ] = None,
    scale: Annotated[
        float | None, typer.Option("--scale", metavar="X", help=".bvh: units per metre, 100 for centimetres.")
    ] = None,
    up: reading.Up = None,
    from_fps: reading.FromFps = None,
    animation: reading.Animation = None,
    size: Annotated[
        int | None, typer.Option("--size", min=16, max=4096, metavar="PIXELS", help="Films: side of the picture.")
    ] = None,
    as_json: common.Json = False,
) -> None:
    """Convert a motion file; no model is needed."""
    if fps is not None:
        common.check_range("--fps", fps, *FPS, " frames per second")
    if scale is not None:
        common.check_range("--scale", scale, 0.001, 10_000, " units per metre")
    options = {k: v for k, v in {"layout": layout, "scale": scale, "size": size}.items() if v is not None}
    common.check_targets(targets, many=False, sources=(source,))
    motion = reading.load_motion(source, up, from_fps, avatars=True, animation=animation)
    if any(t.suffix.lower() == common.SHEET for t in targets) and not motion.caption:
        name = reading.name_of(source, animation)
        motion = motion.with_caption(name.encode(errors="replace").decode())  # a name may be no UTF-8
    if fps is not None:
        motion = motion.resampled(fps)
    common.print_results([motion], common.write_results(targets, [motion], many=False, options=options), as_json)
