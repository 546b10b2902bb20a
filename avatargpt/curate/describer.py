"""The stage ``describer``: what our own network says of a segment, for runs without a language model.

It sees the motion alone and errs; its texts are marked wherever they go.
"""

from __future__ import annotations

from pathlib import Path

from avatargpt.curate.stages import Result, StageTask, Workshop
from avatargpt.curate.tracks import read_tracks


def describe_clip(task: StageTask, shop: Workshop) -> Result:
    """``caption`` of a body or a face."""
    from avatargpt.api import AvatarGPT

    (track,) = read_tracks(Path(task.files["arrays"]), [dict(task.inputs["track"])])
    motion = track.piece(*task.inputs["span"])
    model = shop.tool("describer", lambda: AvatarGPT.from_pretrained(threads=1))
    return {"caption": str(model.describe([motion])[0])}
