"""The studio's own avatar: body, hands and head as one file, at rest, without a motion."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from fastapi import APIRouter
from fastapi.responses import Response

from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.gltf_write import write_avatar_glb
from avatargpt.server import answers
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.face import FaceMotion
from vqvae.features import STANDING
from vqvae.motion import Motion
from vqvae.skeleton import FINGER_NAMES, JOINT_NAMES

router = APIRouter(tags=["files"])
KEPT = "public, max-age=3600"  # by the browser


@router.get("/v1/avatar.glb", summary="The studio's avatar", **answers.data("model/gltf-binary"))
def studio_avatar() -> Response:
    """Binary glTF, see `avatar_glb`."""
    return Response(avatar_glb(), media_type="model/gltf-binary", headers={"Cache-Control": KEPT})


@lru_cache(maxsize=1)
def avatar_glb() -> bytes:
    """Binary glTF: 52 joints, named as ours, in the T-pose, and a face of 52 morph targets. Built once per process."""
    body = Motion(
        rot.identity((2, len(JOINT_NAMES))), np.tile(np.asarray(STANDING, np.float32), (2, 1)), modality="gesture",
        fingers=rot.identity((2, len(FINGER_NAMES))),
    )  # fmt: skip
    face = FaceMotion(np.zeros((2, arkit.COUNT)), np.zeros((2, 3)), body.fps)
    with TemporaryDirectory() as folder:
        return write_avatar_glb(AvatarMotion(body, face), Path(folder) / "avatar.glb", clothed=True).read_bytes()
