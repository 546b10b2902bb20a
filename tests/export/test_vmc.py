"""VMC: what receivers get. Two are written here after the conventions of public ones.

`Unity` as EVMC4U: bones by ``HumanBodyBones`` with local position and rotation set, expressions collected until Apply.
`Expressions` as programs on three-vrm: names are matched in upper and lower case, and only those of the avatar count.
"""

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.avatar_file import read_avatar
from avatargpt.export.bones import unity_bone
from avatargpt.export.expressions import MOODS, VRM0, PresetMixer
from avatargpt.export.vmc import MAX_DATAGRAM, VMCFrames, VMCSender, pack
from tests.export.avatars import face_weights, talk, write_vrm
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion
from vqvae.skeleton import SMPL52

osc_packet = pytest.importorskip("pythonosc.osc_packet")
MIRROR = np.array([-1.0, 1, 1])


def received(datagrams: list[bytes]) -> list[tuple[str, list[Any]]]:
    return [(m.message.address, list(m.message.params)) for d in datagrams for m in osc_packet.OscPacket(d).messages]


class Unity:
    """A receiver with bones and expressions that are applied at once."""

    def __init__(self) -> None:
        self.bones: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.waiting: dict[str, float] = {}
        self.values: dict[str, float] = {}
        self.time = -1.0

    def take(self, datagrams: list[bytes]) -> None:
        for address, values in received(datagrams):
            if address == "/VMC/Ext/Bone/Pos":
                name, *numbers = values
                assert len(numbers) == 7
                self.bones[name] = np.array(numbers[:3]), np.array(numbers[3:])
            elif address == "/VMC/Ext/Blend/Val":
                self.waiting[values[0]] = values[1]
            elif address == "/VMC/Ext/Blend/Apply":
                self.values, self.waiting = self.waiting, {}
            elif address == "/VMC/Ext/T":
                self.time = values[0]

    def places(self) -> np.ndarray:
        """(52, 3) of our joints in the world as Unity composes them, brought back to ours."""
        turns, places = [], []
        for joint, parent in zip(SMPL52.names, SMPL52.parents, strict=True):
            position, (x, y, z, w) = self.bones[unity_bone(joint)]
            local = np.array([w, x, y, z])
            turns.append(local if parent < 0 else rot.multiply(turns[parent], local))
            places.append(position if parent < 0 else places[parent] + rot.rotate(turns[parent], position))
        return np.array(places) * MIRROR


class Expressions:
    """The expressions of an avatar, by exact names."""

    def __init__(self, names: list[str]) -> None:
        self.weights = dict.fromkeys(names, 0.0)

    def take(self, datagrams: list[bytes]) -> None:
        for address, values in received(datagrams):
            if address == "/VMC/Ext/Blend/Val" and values[0] in self.weights:
                self.weights[values[0]] = values[1]


def face(head: tuple[float, float, float] = (0.3, 0.2, 0.1)) -> FaceMotion:
    return FaceMotion(np.random.default_rng(0).random((1, 52)), np.array([head]))


def moving(seed: int = 1) -> Motion:
    rng = np.random.default_rng(seed)
    turns = rot.normalize(rng.standard_normal((1, 52, 4)) * 0.3 + [1, 0, 0, 0])
    return Motion(turns[:, :22], np.array([[0.1, 0.9, 0.2]]), 30.0, "gesture", fingers=turns[:, 22:])


def test_every_kind_of_avatar_gets_mouth_blink_and_mood() -> None:
    weights = face_weights(jawOpen=0.5, eyeBlink=0.9, mouthSmile=0.8)
    motion = FaceMotion(weights, np.zeros((1, 3)))
    sent = pack(VMCFrames().messages(0.0, motion))
    expected = {n: float(v[0]) for n, v in PresetMixer()(weights).items()}
    for names in ([*VRM0.values()], [*VRM0], [*arkit.NAMES], [arkit.pascal(n) for n in arkit.NAMES]):
        avatar = Expressions(names)
        avatar.take(sent)
        for ours, value in (("aa", expected["aa"]), ("blink", 0.9), ("happy", expected["happy"])):
            name = next((n for n in (ours, VRM0[ours]) if n in names), None)
            if name is not None:
                assert avatar.weights[name] == pytest.approx(value, abs=1e-6) and value > 0.15
        for shape in ("jawOpen", "JawOpen"):
            assert avatar.weights.get(shape, 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize("mood", MOODS)
@pytest.mark.parametrize("version", [0, 1])
def test_every_mood_arrives_and_lets_p_close(mood: str, version: int) -> None:
    """On avatars whose presets of moods open the mouth: none of them, and no vowel, is left at a p."""
    spelled = [*VRM0.values()] if version == 0 else [*VRM0]
    avatar, motion, frames = Expressions(spelled), FaceMotion(talk(mood, frames=40), np.zeros((40, 3))), VMCFrames()
    names = {n: VRM0[n] if version == 0 else n for n in VRM0}
    seen: dict[str, list[float]] = {n: [] for n in VRM0}
    for k in range(len(motion)):
        avatar.take(pack(frames.messages(k / 30, motion.slice(k, k + 1))))
        for name in VRM0:
            seen[name].append(avatar.weights[names[name]])
    assert max(seen[mood]) > 0.2 and max(seen["aa"]) > 0.4
    assert max(a + m for a, m in zip(seen["aa"], seen[mood], strict=True)) <= 1 + 1e-6
    assert all(values[19] < 0.01 for name, values in seen.items() if not name.startswith("blink"))


@pytest.mark.parametrize(
    ("names", "has", "lacks"),
    [("presets", "Joy", "jawOpen"), ("camel", "jawOpen", "JawOpen"), ("pascal", "JawOpen", "aa")],
)
def test_names_of_one_kind(names: str, has: str, lacks: str) -> None:
    receiver = Unity()
    receiver.take(pack(VMCFrames(names).messages(0.0, face())))
    assert has in receiver.values and lacks not in receiver.values
    with pytest.raises(UserError, match="accepted all, presets, camel, pascal"):
        VMCFrames("snake")


def test_an_avatars_file_chooses_one_kind_in_its_spelling(tmp_path: Path) -> None:
    for version, perfect_sync, expected in ((0, False, set(VRM0.values())), (1, False, set(VRM0)),
                                            (1, True, {arkit.pascal(n) for n in arkit.NAMES})):  # fmt: skip
        avatar = read_avatar(write_vrm(tmp_path / f"{version}{perfect_sync}.vrm", version, perfect_sync))
        receiver = Unity()
        receiver.take(pack(VMCFrames(avatar=avatar).messages(0.0, face())))
        assert set(receiver.values) == expected


def test_a_frame_is_small_datagrams_applied_at_its_time_in_the_sound() -> None:
    datagrams = pack(VMCFrames().messages(1.5, face()))
    assert all(len(d) <= MAX_DATAGRAM and d.startswith(b"#bundle\0") for d in datagrams)
    addresses = [a for a, _ in received(datagrams)]
    assert addresses[0] == "/VMC/Ext/Bone/Pos"
    assert addresses[-3:] == ["/VMC/Ext/Blend/Apply", "/VMC/Ext/OK", "/VMC/Ext/T"]
    receiver = Unity()
    receiver.take(datagrams)
    assert receiver.time == 1.5 and not receiver.waiting


@pytest.mark.parametrize(
    ("head", "axis"),
    [((0.4, 0, 0), (0, -1, 0)), ((0, 0.4, 0), (-1, 0, 0)), ((0, 0, 0.4), (0, 0, -1))],
)
def test_the_head_turns_in_unitys_coordinates(head: tuple[float, float, float], axis: tuple[int, ...]) -> None:
    """Left-handed, X to the right: to the left is negative about Y, up negative about X, to the right shoulder about Z.

    Unity turns clockwise as seen from the axis' end: positive Y to the right, positive X down, positive Z to the left.
    """
    receiver = Unity()
    receiver.take(pack(VMCFrames().messages(0.0, face(head))))
    place, turn = receiver.bones["Head"]
    assert place[1] > 0.05 and list(receiver.bones) == ["Head"]  # a head at 0, 0, 0 sinks into the neck
    np.testing.assert_allclose(turn[:3], np.array(axis) * np.sin(0.2), atol=1e-6)
    assert turn[3] == pytest.approx(np.cos(0.2))


def test_bones_stand_where_ours_do() -> None:
    motion = moving()
    receiver = Unity()
    receiver.take(pack(VMCFrames().messages(0.0, AvatarMotion(motion, face()))))
    assert {"LeftThumbProximal", "RightLittleDistal", "UpperChest", "LeftToes"} <= set(receiver.bones)
    joints = np.concatenate([motion.joints, motion.finger_joints], 1)[0]
    np.testing.assert_allclose(receiver.places(), joints, atol=1e-5)
    assert receiver.values["JawOpen"] > 0


def test_bones_that_an_avatar_lacks_turn_those_below(tmp_path: Path) -> None:
    avatar = read_avatar(write_vrm(tmp_path / "a.vrm", 0, False, without=("upperChest",)))
    motion, receiver, every = moving(), Unity(), Unity()
    receiver.take(pack(VMCFrames(avatar=avatar).messages(0.0, motion)))
    every.take(pack(VMCFrames().messages(0.0, motion)))
    assert "UpperChest" not in receiver.bones and "Neck" in receiver.bones
    chest, neck = (SMPL52.index(n) for n in ("spine3", "neck"))
    w, x, y, z = rot.multiply(motion.rotations[0, chest], motion.rotations[0, neck]).tolist()
    np.testing.assert_allclose(receiver.bones["Neck"][1], [x, -y, -z, w], atol=1e-5)
    np.testing.assert_allclose(receiver.bones["LeftLowerArm"][0], avatar.places["LeftLowerArm"], atol=1e-6)
    assert receiver.bones["Hips"][0][1] == pytest.approx(every.bones["Hips"][0][1] * avatar.hips / 0.9216, rel=0.2)


def test_frames_go_to_a_listener_and_hosts_are_known() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        sender = VMCSender("localhost", listener.getsockname()[1], "camel")  # IPv4, where these programs listen
        sender.send(3, face())
        expected = received(pack(VMCFrames("camel").messages(0.1, face())))
        assert received([listener.recv(2000), listener.recv(2000)]) == expected
        assert sender.failed == 0
        sender.close()
    for host in ("no.such.host.invalid", "255.255.255.255"):  # that everybody hears, which sockets do not do unasked
        with pytest.raises(UserError, match="of a VMC listener"):
            VMCSender(host)
