"""AMASS, SMPL-H and SMPL-X ``.npz`` files, and SMPL's body models for those who have their files.

Motions are axis-angle poses, Z up, at any frame rate. Rotations carry over as they are (both rest poses are the same
T-pose); the body shape does not. Body models (SMPL, SMPL-H, SMPL-X) turn poses of AMASS into joints and meshes: an
``.npz`` from smpl-x.is.tue.mpg.de or mano.is.tue.mpg.de; pickles are never opened. Linear blend skinning is that of the
package `smplx` (Loper et al. 2015, Pavlakos et al. 2019). Hands count from the flat hand, as AMASS' do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.data_files import array_names, read_arrays
from vqvae.io.files import atomic_write, parsing
from vqvae.motion import MAX_FRAMES, Motion
from vqvae.skeleton import FINGER_NAMES, SMPL22

BODY = len(SMPL22.names)
POSE = 165  # 55 joints x 3: body 22, jaw, eyes, 2 x 15 hand joints
# The hands follow jaw and eyes, the left one first, three joints of each finger in this order.
_FINGER_ORDER = ("index", "middle", "pinky", "ring", "thumb")
_HANDS = [3 * (BODY + 3 + 15 * (n[0] == "r") + 3 * _FINGER_ORDER.index(n[2:-1]) + int(n[-1]) - 1) for n in FINGER_NAMES]
_HANDS_AT = np.array([[k, k + 1, k + 2] for k in _HANDS])  # (30, 3) columns of our fingers
UPS = ("z", "y")
RATES = ("mocap_framerate", "mocap_frame_rate", "fps")
# AMASS stands on z = 0, facing along -y; this takes z to y.
_Z_UP_TO_Y_UP = rot.from_axis_angle(np.array([-np.pi / 2, 0.0, 0.0]))
_TO_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
INSTALL = 'pip install "avatargpt[smplx]"'
MODEL_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights", "f")
MODELS_BY_JOINTS = {24: "smpl", 52: "smplh", 55: "smplx"}
MODELS_BY_WIDTH = {72: "smpl", 156: "smplh", 165: "smplx"}  # of poses
GENDERS = ("neutral", "male", "female")
AT_ONCE = 32  # frames posed together
MAX_BETAS = 300
_BODY, _FACE, _HAND_WIDTH = slice(0, 66), slice(66, 75), 90


def check_up(up: str) -> None:
    """Raises UserError unless `up` names an axis that files stand along."""
    if up not in UPS:
        raise UserError(f"up {up!r}; accepted {' or '.join(UPS)}")


def _poses(data: dict[str, np.ndarray]) -> np.ndarray:
    """(T, 22, 3) rotation vectors from either spelling."""
    if "poses" in data:
        poses = np.asarray(data["poses"], np.float64)
        if poses.ndim != 2 or poses.shape[1] < BODY * 3 or poses.shape[1] % 3:
            raise UserError(f"poses {poses.shape}; accepted (T, 66 or more): SMPL 72, SMPL-H 156, SMPL-X 165")
        return poses[:, : BODY * 3].reshape(-1, BODY, 3)
    if "root_orient" in data and "pose_body" in data:
        root, body = np.asarray(data["root_orient"], np.float64), np.asarray(data["pose_body"], np.float64)
        if root.ndim != 2 or root.shape[1] != 3 or body.shape != (len(root), (BODY - 1) * 3):
            raise UserError(f"root_orient {root.shape}, pose_body {body.shape}; accepted (T, 3) and (T, 63)")
        return np.concatenate([root, body], 1).reshape(-1, BODY, 3)
    raise UserError("SMPL .npz without poses; accepted 'poses', or 'root_orient' and 'pose_body'")


def _motion(data: dict[str, np.ndarray], up: str) -> Motion:
    check_up(up)
    rate = next((data[k] for k in RATES if k in data), None)
    if rate is None or rate.size != 1:
        raise UserError(f"no frame rate; accepted one number as {' or '.join(RATES)}")
    try:
        vectors, fps = _poses(data), float(rate.reshape(()))
        if "trans" not in data or data["trans"].shape != (len(vectors), 3):
            shape = data["trans"].shape if "trans" in data else "is missing"
            raise UserError(f"trans {shape} beside {len(vectors)} poses; accepted (T, 3) for T poses")
        root = np.asarray(data["trans"], np.float64)
    except (TypeError, ValueError) as e:
        if isinstance(e, UserError):
            raise
        raise UserError("SMPL .npz with values that are not numbers; accepted float arrays") from None
    if not 1 <= len(vectors) <= MAX_FRAMES:
        raise UserError(f"{len(vectors)} frames; accepted 1 to {MAX_FRAMES}")
    rotations = rot.from_axis_angle(vectors)
    if up == "z":
        rotations[:, 0] = rot.multiply(_Z_UP_TO_Y_UP, rotations[:, 0])
        root = rot.rotate(_Z_UP_TO_Y_UP, root)
    return Motion(rotations, root, fps)


def is_smplx(path: str | os.PathLike[str]) -> bool:
    """Whether a readable ``.npz`` has the keys of an SMPL motion rather than ours."""
    names = array_names(path)
    return "rotations" not in names and "trans" in names


def read_smplx(path: str | os.PathLike[str], up: str = "z", hands: bool = False) -> Motion:
    """One file as a Motion at its own frame rate and place; `up` is its vertical axis: ``z`` as in AMASS, or ``y``.

    `hands` makes a gesture, with the fingers of SMPL-X's poses (T, 165) counted from the flat hand; a file does not
    state it where they count from SMPL-X's mean hand.

    Raises:
        UserError: names the file and what is wrong: `up`, not a readable .npz, missing keys, shapes, NaN.
    """
    path = Path(path)
    data = read_arrays(path, ("poses", "root_orient", "pose_body", "trans", *RATES), MAX_FRAMES)
    with parsing(path, "an SMPL motion"):
        body = _motion(data, up)
        if not hands:
            return body
        poses = np.asarray(data.get("poses", np.zeros(0)), np.float64)
        if poses.ndim != 2 or poses.shape[1] != POSE:
            raise UserError(f"poses {poses.shape}; accepted (T, {POSE}), SMPL-X with both hands")
        return replace(body, modality="gesture", fingers=rot.from_axis_angle(poses[:, _HANDS_AT]))


def write_smplx(motion: Motion, path: str | os.PathLike[str]) -> Path:
    """Write AMASS' SMPL-X keys, Z up: trans, poses (T, 165) with the fingers of a gesture, root_orient, pose_body,
    betas, gender, mocap_frame_rate."""
    back = rot.conjugate(_Z_UP_TO_Y_UP)
    local = motion.rotations.astype(np.float64)
    local[:, 0] = rot.multiply(back, local[:, 0])
    poses = np.zeros((len(motion), POSE))
    poses[:, : 3 * BODY] = rot.to_axis_angle(local).reshape(len(motion), -1)
    if motion.fingers is not None:
        poses[:, _HANDS_AT] = rot.to_axis_angle(motion.fingers.astype(np.float64))
    trans = rot.rotate(back, motion.root.astype(np.float64))
    return atomic_write(path, lambda temporary: np.savez(
        temporary, trans=trans, poses=poses, root_orient=poses[:, :3], pose_body=poses[:, 3 : 3 * BODY],
        betas=np.zeros(16), gender="neutral", surface_model_type="smplx", mocap_frame_rate=float(motion.fps),
        mocap_time_length=motion.seconds,
    ))  # fmt: skip


@dataclass(frozen=True, eq=False)
class BodyParameters:
    """Rotation vectors (T, 72, 156 or 165), `trans` (T, 3) in metres and shape `betas` (B,) of AMASS."""

    poses: np.ndarray
    trans: np.ndarray
    betas: np.ndarray
    gender: str
    fps: float

    @property
    def kind(self) -> str:
        """Name of the body model of these poses."""
        return MODELS_BY_WIDTH[self.poses.shape[1]]

    def at_frames(self, frames: list[int]) -> BodyParameters:
        """Only those frames."""
        return replace(self, poses=self.poses[frames], trans=self.trans[frames])


def read_parameters(path: str | os.PathLike[str]) -> BodyParameters:
    """Read an ``.npz`` of AMASS."""
    path = Path(path)
    data = read_arrays(path, ("poses", "trans", "betas", "gender", *RATES), MAX_FRAMES)
    with parsing(path, "a motion of AMASS", "accepted poses, trans, betas, gender and mocap_framerate"):
        poses, trans = (np.asarray(data[k], np.float64) for k in ("poses", "trans"))
        if poses.ndim != 2 or poses.shape[1] not in MODELS_BY_WIDTH or trans.shape != (len(poses), 3) or not len(poses):
            widths = ", ".join(map(str, MODELS_BY_WIDTH))
            raise UserError(f"poses {poses.shape}, trans {trans.shape}; accepted (T, {widths}) and (T, 3)")
        betas = np.asarray(data["betas"], np.float64).reshape(-1)
        if not all(np.isfinite(v).all() for v in (poses, trans, betas)):
            raise UserError("NaN or infinity; accepted finite numbers")
        gender = np.asarray(data.get("gender", "neutral")).reshape(-1)[0]
        name = gender.decode() if isinstance(gender, bytes) else str(gender)
        rate = next(data[k] for k in RATES if k in data)
        return BodyParameters(poses, trans, betas, name, float(np.asarray(rate).reshape(())))


def find_model(models: str | os.PathLike[str], kind: str, gender: str) -> Path:
    """The file of a model: `models` itself if it is a file, else one of the places where the sites' archives put it."""
    models = Path(models)
    if gender not in GENDERS:
        raise UserError(f"gender {gender!r}; accepted {', '.join(GENDERS)}")
    names = (f"{kind.upper()}_{gender.upper()}.npz", f"{gender}/model.npz")
    places = [models] if models.is_file() else [models / d / n for d in (kind, ".") for n in names]
    path = next((p for p in places if p.is_file()), None)
    if path is None:
        listed = ", ".join(str(p.relative_to(models)) for p in places)
        raise UserError(f"{models}: no body model of {kind}, {gender}; accepted one of {listed}, downloaded from "
                        "smpl-x.is.tue.mpg.de or mano.is.tue.mpg.de")  # fmt: skip
    if path.suffix.lower() != ".npz":
        raise UserError(f"{path}: a {path.suffix or 'file without suffix'}; accepted .npz (pickles are never opened)")
    return path


class SmplModel:
    """An opened model of `kind` smpl, smplh or smplx, with `joints` joints and `faces` (F, 3) of vertex indices."""

    def __init__(self, arrays: dict[str, Any]) -> None:
        import torch

        def tensor(name: str) -> torch.Tensor:
            return torch.as_tensor(np.asarray(arrays[name], np.float32))

        self._lbs = _import_skinning()
        table = np.asarray(arrays["kintree_table"], np.int64)
        self.joints = table.shape[1]
        parents = table[0].copy()
        parents[0] = -1
        ordered = ((parents[1:] >= 0) & (parents[1:] < np.arange(1, self.joints))).all()
        if self.joints not in MODELS_BY_JOINTS or not ordered:
            counts = " or ".join(map(str, MODELS_BY_JOINTS))
            raise UserError(f"kintree_table {table.shape}; accepted (2, {counts}), parents first")
        self.kind = MODELS_BY_JOINTS[self.joints]
        self._parents = torch.as_tensor(parents)
        self._template, self._shapes = tensor("v_template"), tensor("shapedirs")
        count = len(self._template)
        basis = np.asarray(arrays["posedirs"], np.float32)
        self._poses = torch.as_tensor(np.ascontiguousarray(basis.reshape(-1, basis.shape[-1]).T))
        self._regressor, self._weights = tensor("J_regressor"), tensor("weights")
        self.faces = np.asarray(arrays["f"], np.int64)
        shapes = (
            ("v_template", self._template.shape, (count, 3)), ("shapedirs", self._shapes.shape[:2], (count, 3)),
            ("posedirs", self._poses.shape, (9 * (self.joints - 1), 3 * count)),
            ("J_regressor", self._regressor.shape, (self.joints, count)),
            ("weights", self._weights.shape, (count, self.joints)), ("f", self.faces.shape[1:], (3,)),
        )  # fmt: skip
        # every array has to fit the others before any is used
        for name, shape, expected in shapes:
            if tuple(shape) != expected:
                raise UserError(f"{name} {tuple(np.shape(arrays[name]))} of {count} vertices and {self.joints} joints")
        if not len(self.faces) or not 0 <= self.faces.min() <= self.faces.max() < count:
            raise UserError(f"f names vertices that are not there; accepted 0 to {count - 1}")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SmplModel:
        """Open a model's ``.npz``."""
        _import_skinning()
        path = Path(path)
        arrays = read_arrays(path, MODEL_KEYS)
        with parsing(path, "a body model of SMPL", f"accepted {', '.join(MODEL_KEYS)}"):
            return cls(arrays)

    def pose(self, body: BodyParameters, up: str = "z") -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Vertices (n, V, 3) and joints (n, J, 3) of `AT_ONCE` frames at a time, float32 metres, Y up.

        Hands and face that only the poses or only the model has are left out, or at rest; `up` as in `read_smplx`.
        """
        import torch

        check_up(up)
        poses = fit_poses(body.poses, self.joints)
        betas = body.betas[: min(self._shapes.shape[2], MAX_BETAS)]
        shapes, turn = self._shapes[..., : len(betas)], _TO_Y_UP if up == "z" else np.eye(3)
        for first in range(0, len(poses), AT_ONCE):
            part = torch.as_tensor(poses[first : first + AT_ONCE], dtype=torch.float32)
            shape = torch.as_tensor(betas, dtype=torch.float32).expand(len(part), -1)
            with torch.no_grad():
                posed = self._lbs(shape, part, self._template[None], shapes, self._poses, self._regressor,
                                  self._parents, self._weights)  # fmt: skip
            at = body.trans[first : first + AT_ONCE, None]
            vertices, joints = ((x.numpy() + at) @ turn.T for x in posed)
            yield vertices.astype(np.float32), joints.astype(np.float32)

    def joints_of(self, body: BodyParameters, up: str = "z") -> np.ndarray:
        """(T, J, 3) joints of a body of its own shape, metres, Y up."""
        return np.concatenate([joints for _, joints in self.pose(body, up)])


def fit_poses(poses: np.ndarray, joints: int) -> np.ndarray:
    """Poses (T, 72, 156 or 165) as a model of so many joints takes them, (T, 3 J)."""
    frames, width = poses.shape
    face = poses[:, _FACE] if MODELS_BY_WIDTH[width] == "smplx" else np.zeros((frames, 9))
    hands = np.zeros((frames, _HAND_WIDTH)) if MODELS_BY_WIDTH[width] == "smpl" else poses[:, -_HAND_WIDTH:]
    parts = {"smpl": [np.zeros((frames, 6))], "smplh": [hands], "smplx": [face, hands]}[MODELS_BY_JOINTS[joints]]
    return np.concatenate([poses[:, _BODY], *parts], 1)


def write_obj(vertices: np.ndarray, faces: np.ndarray, path: str | os.PathLike[str]) -> Path:
    """Write vertices (V, 3) and faces (F, 3) as Wavefront .obj."""
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in np.asarray(faces) + 1]
    return atomic_write(path, lambda temporary: temporary.write_text("\n".join(lines) + "\n", encoding="ascii"))


def _import_skinning() -> Any:
    try:
        from smplx.lbs import lbs
    except ImportError:
        raise UserError(f"body models need the package smplx: {INSTALL}, and the models' files (.npz) from "
                        "smpl-x.is.tue.mpg.de or mano.is.tue.mpg.de") from None  # fmt: skip
    return lbs
