"""A motion on a character: its own file comes back with the movement added, all else as it was.

A .glb or .vrm keeps every byte of its buffers; key frames and one animation are appended. A .gltf becomes a .glb with
its buffers and pictures in it; a .fbx goes through Blender. A .bvh keeps its hierarchy and gets other frames. How our
joints are turned on the character's is in `vqvae.transfer`.
"""

from __future__ import annotations

import os
import tempfile
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path

import numpy as np

from avatargpt.export.avatar import AvatarMotion, body_and_face
from avatargpt.export.face_making import TalkingFile, make_talk, open_gltf, write_face
from avatargpt.export.fbx import as_glb, write_as_fbx
from avatargpt.export.formats import CHARACTERS, ROOTS
from avatargpt.export.gltf_animation import add_animation, add_skin, face_tracks, node_tracks
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.io import bvh
from vqvae.io.files import parsing, read_text, regular_file
from vqvae.io.gltf import ACCEPTED, pack_glb
from vqvae.io.gltf_rigs import GltfSkeleton
from vqvae.motion import Motion, atomic_write
from vqvae.retarget import RigReading, add_hands, understand
from vqvae.rig import ancestors, world
from vqvae.transfer import carrier_of, move_way, transfer_motion

SURE = 0.8  # least confidence in a rest pose by which a character is taken that does not move


class Character(ABC):
    """A file's skeleton, as far as it is understood; a path of that file, too.

    Attributes:
        path: the file. reading: what is understood. unit: of lengths in a written file, plural.
    """

    path: Path
    reading: RigReading

    unit = "metres"

    def __fspath__(self) -> str:
        return str(self.path)

    @abstractmethod
    def write(self, motion: Motion, path: Path, on_ground: bool, face: FaceMotion | None = None) -> Path:
        """Write the file with the motion, and with a face as long where it has one."""

    @property
    def face_line(self) -> str:
        """What of a face is moved on it, and what is not."""
        return "the face is left out: no mesh"

    @abstractmethod
    def check_ground(self) -> None:
        """Raises UserError where nothing above the hips can go along on the floor."""


def load_character(path: str | os.PathLike[str], root: str = "hips") -> Character:
    """The character of a file, for any number of motions; one that is loaded already as it is.

    Raises:
        UserError: a file that cannot be read or has no humanoid, or no joint for the way that `root` wants.
    """
    if root not in ROOTS:
        raise UserError(f"root {root!r}; accepted {', '.join(ROOTS)}")
    character = path if isinstance(path, Character) else _load(Path(path))
    if root == "ground":
        with parsing(character.path, "a character"):
            character.check_ground()
    return character


def _load(path: Path) -> Character:
    suffix = regular_file(path).suffix.lower()
    if suffix not in CHARACTERS:
        raise UserError(f"{path}: no character; accepted a file in one of {' '.join(CHARACTERS)}")
    if suffix == ".bvh":
        return _BvhCharacter(path)
    if suffix != ".fbx":
        return _GltfCharacter(path)
    with as_glb(path, whole=True) as converted:
        character = _GltfCharacter(converted)
    character.path = path
    return character


def notes_of(character: Character, modality: str) -> list[str]:
    """What a user should know before a motion of `modality` is put on a character."""
    notes, reading = list(character.reading.notes), character.reading
    if modality == "avatar":
        notes.append(character.face_line)
    if modality in ("avatar", "gesture"):
        try:
            if not add_hands(reading.rig, dict(reading.joints), reading.rig.rest_joints):
                notes.append("no fingers; those of the motion are left out")
        except UserError as e:
            notes.append(f"fingers stay as they are: {str(e).split(';')[0]}")
    return notes


def write_character(
    motion: Motion | FaceMotion | AvatarMotion, path: Path, character: str | os.PathLike[str], root: str = "hips"
) -> Path:
    """Write the file of a character with a motion added; see `avatargpt.export.save`."""
    if isinstance(motion, FaceMotion):
        return write_face(motion, path, character)
    body, face = body_and_face(motion)
    assert body is not None
    return load_character(character, root).write(body.with_caption(motion.caption), path, root == "ground", face)


def _level(reading: RigReading, ways: np.ndarray) -> np.ndarray:
    """The part of ways (T, 3) that is level in the file's world."""
    up = reading.rest.up
    return np.asarray(ways - (ways @ up)[:, None] * up)


class _BvhCharacter(Character):
    """The skeleton of a .bvh."""

    def __init__(self, path: Path) -> None:
        self.unit = f"units of {path.name}"
        self.path, self.text = path, read_text(path, bvh.MAX_BYTES, bvh.ACCEPTED, latin=True)
        with parsing(path, "a readable BVH", bvh.ACCEPTED):
            rig = bvh.parse_bvh(self.text)
            self.channels = bvh.channels_of(self.text)
            self.reading = understand(rig)
            if not np.allclose(self.reading.rig.translations[0], rig.translations[0]):
                raise UserError("the root's places are in another unit than its bones; accepted a file of one unit")
            self.hips = carrier_of(self.reading)
            line = ancestors(self.reading.rig.parents, self.hips)
            movable = [j for j in line if bvh.has_places(self.channels[j])]
            if not movable:
                raise UserError("no joint from the hips upwards has position channels; accepted a skeleton that moves")
            self.moved = movable[0]

    def check_ground(self) -> None:
        names, above = self.reading.rig.names, self.reading.rig.parents[self.hips]
        if above < 0:
            raise UserError(f"--root ground: nothing is above the hips ({names[self.hips]}); accepted: hips")
        for j in (above, self.hips):
            if not bvh.has_places(self.channels[j]):
                raise UserError(f"--root ground: {names[j]} has no position channels; accepted: hips")

    def write(self, motion: Motion, path: Path, on_ground: bool, face: FaceMotion | None = None) -> Path:
        rig = transfer_motion(motion, self.reading)
        places, above = world(rig)[0], rig.parents[self.hips]
        if on_ground:
            rig = move_way(rig, self.hips, above, _level(self.reading, places[:, self.hips] - places[:, above]))
        elif self.moved != self.hips:
            rig = move_way(rig, self.hips, self.moved, places[:, self.hips] - self.reading.places[0, self.hips])
        return bvh.write_frames(self.text, rig, path)


class _GltfCharacter(Character):
    """The humanoid of a .glb, .gltf or .vrm."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.gltf, self.blob, document = open_gltf(path)
        with parsing(path, "a humanoid", ACCEPTED):
            self.skeleton = GltfSkeleton(document, hands=True)
            # the rest by an animation where the nodes are stored as in no rest pose, the bones as stored
            stored = self.skeleton.read_stored_rig()
            moving = self.skeleton.up is None and bool(document.animations)
            reading = understand(self.skeleton.play_animation(self.skeleton.animations()[0]) if moving else stored)
            if not moving and reading.rest.confidence < SURE:
                raise UserError("no skin, T-pose or A-pose tells how its joints are at rest; accepted a file with one")
            places, turns = world(stored)
            self.reading = reading._replace(rig=stored, places=places, turns=turns)
            self.hips = self.skeleton.nodes[carrier_of(self.reading)]
            if self.hips < 0:
                raise UserError("the legs have no joint in common; accepted a skeleton with hips")
        self.document, self.above = document, document.parents.get(self.hips, -1)

    @cached_property
    def talk(self) -> TalkingFile | UserError:
        """The file with a face that can be moved, or why it has none."""
        try:
            with parsing(self.path, "a head", ACCEPTED):
                return make_talk(self.gltf, self.blob, self.document)
        except UserError as e:
            return UserError(str(e).removeprefix(f"{self.path}: "))

    @property
    def face_line(self) -> str:
        return f"the face is left out: {self.talk}" if isinstance(self.talk, UserError) else f"face: {self.talk.line}"

    def check_ground(self) -> None:
        if self.above < 0:
            name = self.gltf["nodes"][self.hips].get("name", self.hips)
            raise UserError(f"--root ground: nothing is above the hips ({name}); accepted: hips")

    def write(self, motion: Motion, path: Path, on_ground: bool, face: FaceMotion | None = None) -> Path:
        rig, hips = transfer_motion(motion, self.reading), carrier_of(self.reading)
        level = None
        if on_ground:
            level = _level(self.reading, world(rig)[0][:, hips] - self.skeleton.read_stored_pose(self.above)[2])
        tracks = node_tracks(self.skeleton, rig, hips, level)
        gltf, blob = self.gltf, self.blob
        if face is not None and not isinstance(self.talk, UserError):
            gltf, blob = self.talk.gltf, self.talk.blob
            tracks |= face_tracks(self.talk.document, face)
        gltf, blob = add_animation(gltf, blob, tracks, motion.fps, motion.caption or motion.modality)
        if path.suffix.lower() != ".fbx":
            return atomic_write(path, lambda temporary: temporary.write_bytes(pack_glb(gltf, blob)))
        if not gltf.get("skins"):
            gltf, blob = add_skin(self.skeleton, gltf, blob)
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "clip.glb")
            source.write_bytes(pack_glb(gltf, blob))
            write_as_fbx(source, path, motion.fps)
        return path
