"""Array files: .npz (ours, AMASS / SMPL-X, kimodo, MediaPipe), .npy (HumanML3D, positions + quaternions,
poselib), .bvh."""

from pathlib import Path

import numpy as np

from avatargpt.export.avatar import AvatarMotion, body_and_face, is_avatar
from avatargpt.export.bones import mixamo_bone, unity_bone
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io import bvh, pos7
from vqvae.io.ase import is_pickled, read_ase
from vqvae.io.data_files import array_names, map_array
from vqvae.io.files import parsing
from vqvae.io.kimodo import is_kimodo, read_kimodo
from vqvae.io.smplx import check_up, is_smplx, read_smplx, write_smplx
from vqvae.motion import MAX_FRAMES, UNIT_TOLERANCE, Motion, atomic_write
from vqvae.rates import BODY_FPS
from vqvae.rig import AXES, check_statement
from vqvae.skeleton import SMPL22, SMPL52
from vqvae.upright import axis_name, longest, of_positions

JOINTS = len(SMPL22.names)
SHORTEST = 1e-6  # m of a bone
# Units of positions: metres, and how many times longer than ours in metres all bones of a person are. Nothing is near
# metres; inches end where the centimetres of small children begin.
UNITS = {"m": (1.0, 0.3, 2.0), "in": (0.0254, 25.0, 50.0), "cm": (0.01, 50.0, 150.0), "mm": (0.001, 500.0, 1500.0)}


def write_body_bvh(motion: Motion | AvatarMotion, path: Path, scale: float = 1.0, layout: str = "smpl") -> None:
    """Write the body of a motion or an avatar by `vqvae.io.bvh`.

    Args:
        scale: units a metre. layout: names of the joints: ``smpl``, ``mixamo`` (mixamorig:LeftArm), ``unity``
            (LeftUpperArm, as ``HumanBodyBones``).
    """
    body = body_and_face(motion)[0]
    assert body is not None
    names = {"mixamo": mixamo_bone, "unity": unity_bone}.get(layout)
    bvh.write_bvh(body, path, scale, {} if names is None else {n: names(n) for n in SMPL52.names})


def write_npz(motion: Motion | FaceMotion | AvatarMotion, path: Path, layout: str = "motion") -> None:
    """Write our own .npz, or (``layout="smplx"``) a body's as AMASS has them."""
    if isinstance(motion, AvatarMotion):
        motion.write_npz(path)
    elif layout == "smplx":
        assert isinstance(motion, Motion)
        write_smplx(motion, path)
    else:
        motion.save(path)


def read_npz(path: Path, up: str | None = None, fps: float | None = None) -> Motion | FaceMotion | AvatarMotion:
    """Read our own .npz, an AMASS / SMPL-X one, kimodo's, or a face's of MediaPipe (recognised by their keys).

    Args:
        up: the vertical axis of an SMPL file: z as in AMASS (None), or y. Our own files are always Y up.
        fps: frame rate of MediaPipe's and kimodo's, which may lack it.
    """
    from instruct_data.sources.face_files import SHAPES, read_mediapipe

    if is_avatar(path):
        return AvatarMotion.load(path)
    keys = array_names(path)
    face = {"weights", "names", "head"} <= keys and "rotations" not in keys
    shapes = SHAPES in keys and not face and "rotations" not in keys
    rated = read_kimodo if is_kimodo(path) else read_mediapipe if shapes else None
    if rated is None and fps is not None:
        raise UserError(f"{path}: fps goes with MediaPipe's and kimodo's .npz; this one says it itself")
    smplx = rated is None and not face and is_smplx(path)
    if rated is None and not face:
        check_up(up or "z")
    if up is not None and not smplx:
        raise UserError(f"{path}: up goes with SMPL's .npz; this one says it itself")
    if rated is not None:
        return rated(path, fps)
    return read_smplx(path, up or "z") if smplx else FaceMotion.load(path) if face else Motion.load(path)


def write_npy(motion: Motion, path: Path, layout: str = "hml263") -> Path:
    """Write an array in one of two layouts.

    `hml263`: (T - 1, 263) at 20 fps. `pos7`: (T, 22, 7) = world position, world rotation w, x, y, z; of a gesture
    (T, 9, 7) as LLAvatarOS has them, x, y, z, w (`vqvae.io.pos7`).
    """
    if layout == "hml263":
        from vqvae.io.hml263 import HML263Features

        array = HML263Features().encode(motion)
    elif motion.modality == "gesture":
        array = pos7.to_array(motion)
    else:
        positions, matrices = motion.skeleton.fk_full(motion.rotations, motion.root)
        array = np.concatenate([positions, rot.continuous(rot.from_matrix(matrices))], -1).astype(np.float32)
    return atomic_write(path, lambda temporary: np.save(temporary, array, allow_pickle=False))


def read_npy(path: Path, fps: float | None = None, up: str | None = None, unit: float | None = None) -> Motion:
    """Read any layout of :func:`write_npy`, joints (T, 22, 3), recognised by the shape, or poselib's.

    Args:
        fps: of positions, which store none; default 20 for 22 joints, 30 for 9. Of poselib's in place of its own.
        up, unit: of joints (T, 22, 3): the vertical axis (``x`` to ``-z``) and metres of a unit. None: that along which
            the body stands, and that of the bones' length.
    """
    check_statement(up, unit)
    if is_pickled(path):
        _check_unstated(path, up, unit)
        return read_ase(path, fps)
    array = map_array(path)
    accepted = ("accepted (T, 263) HumanML3D features, (T, 22, 3) positions, or (T, 22, 7) or (T, 9, 7) positions + "
                "quaternions")  # fmt: skip
    if array.ndim not in (2, 3) or array.shape[1:] not in ((263,), (JOINTS, 3), (JOINTS, 7), pos7.SHAPE):
        raise UserError(f"{path}: shape {array.shape}; {accepted}")
    if array.shape[1:] != (JOINTS, 3):
        _check_unstated(path, up, unit)
    if not 1 <= len(array) <= MAX_FRAMES:
        raise UserError(f"{path}: {len(array)} frames; accepted 1 to {MAX_FRAMES}")
    array = np.array(array)
    finite = np.isfinite(array).reshape(len(array), -1).all(1)
    if not finite.all():
        raise UserError(f"{path}: NaN or infinity at frame {finite.argmin()}; accepted finite numbers")
    if array.shape[1:] == pos7.SHAPE:
        with parsing(path, "positions and quaternions of nine joints"):
            return pos7.from_array(array, pos7.FPS if fps is None else fps)
    fps = BODY_FPS if fps is None else fps
    if array.ndim == 2:
        from vqvae.io.hml263 import HML263Features

        if fps != HML263Features.fps:
            raise UserError(f"{path}: {fps:g} frames a second; accepted for HumanML3D features {HML263Features.fps:g}")
        return HML263Features().decode(array)
    if array.shape[2] == 3:
        return _of_positions(path, array.astype(np.float64), fps, up, unit)
    world = array[..., 3:].astype(np.float64)
    if (np.abs(np.linalg.norm(world, axis=-1) - 1) > UNIT_TOLERANCE).any():
        raise UserError(f"{path}: quaternions of another length than 1; accepted w, x, y, z after the positions")
    with parsing(path, "positions and quaternions"):
        return Motion(rot.below_parents(rot.normalize(world), SMPL22.parents), array[:, 0, :3], fps)


def _check_unstated(path: Path, up: str | None, unit: float | None) -> None:
    for name, value in (("up", up), ("unit", unit)):
        if value is not None:
            raise UserError(f"{path}: {name} goes with positions (T, {JOINTS}, 3); other .npy say it themselves")


def _of_positions(path: Path, joints: np.ndarray, fps: float, up: str | None, unit: float | None) -> Motion:
    """A body whose bones point as the joints (T, 22, 3) say; HumanML3D's ``new_joints``, and others of any axis."""
    from vqvae.io.hml263 import swing_rotations

    lengths = np.linalg.norm(joints[:, 1:] - joints[:, list(SMPL22.parents[1:])], axis=-1)
    if not (lengths > SHORTEST).all():
        frame, bone = np.argwhere(~(lengths > SHORTEST))[0]
        names = SMPL22.names[bone + 1], SMPL22.names[SMPL22.parents[bone + 1]]
        raise UserError(f"{path}: {names[0]} lies on {names[1]} at frame {frame}; accepted bones of some length")
    notes = []
    if unit is None:  # that in which bones are as long as a person's
        ratio = float(np.median(lengths.sum(1))) / float(np.linalg.norm(SMPL22.offsets[1:], axis=-1).sum())
        name = next((n for n, (_, shortest, above) in UNITS.items() if shortest <= ratio < above), None)
        if name is None:
            raise UserError(f"{path}: bones {ratio:.3g} times as long as a person's in metres; accepted "
                            f"{', '.join(UNITS)}, or --unit with the unit")  # fmt: skip
        unit = UNITS[name][0]
        if unit != 1:
            notes.append(f"positions are in {name}, by the length of the bones; --unit says another")
    at = {name: j for j, name in enumerate(SMPL22.names)}
    axis = of_positions(joints, at) if up is None else AXES[up]
    if axis is None:
        name = axis_name(longest(joints, at))
        raise UserError(f"{path}: the body is upright along {name}, or lies or flies with Y up: its floor does not say "
                        f"which; accepted with --up {name.lower()} or --up y")  # fmt: skip
    if up is None and axis[1] != 1:
        notes.append(f"up is {axis_name(axis)}, along which the body stands; --up says another")
    if unit != 1:
        joints = joints * unit
    if axis[1] != 1:
        joints = rot.rotate(rot.between(axis, AXES["y"]), joints)
    with parsing(path, "positions of 22 joints"):
        return Motion(swing_rotations(joints), joints[:, 0], fps, notes=tuple(notes))
