"""VMC: what a receiver of OSC over UDP gets, read by python-osc's own parser."""

import socket
from typing import Any

import numpy as np
import pytest

from avatargpt.export.udp_senders import MAX_DATAGRAM, VMCSender, pack_vmc
from vqvae import arkit
from vqvae.errors import UserError
from vqvae.face import FaceMotion

osc_packet = pytest.importorskip("pythonosc.osc_packet")


def received(datagrams: list[bytes]) -> list[tuple[str, list[Any]]]:
    return [(m.message.address, list(m.message.params)) for d in datagrams for m in osc_packet.OscPacket(d).messages]


def face(head: tuple[float, float, float] = (0.3, 0.2, 0.1)) -> FaceMotion:
    return FaceMotion(np.random.default_rng(0).random((1, 52)), np.array([head]))


def test_a_frame_has_all_shapes_the_head_and_then_is_applied() -> None:
    motion = face()
    datagrams = pack_vmc(45, motion)
    assert all(len(d) <= MAX_DATAGRAM and d.startswith(b"#bundle\0") for d in datagrams)
    messages = received(datagrams)
    shapes = [values for address, values in messages if address == "/VMC/Ext/Blend/Val"]
    assert [name for name, _ in shapes] == list(arkit.NAMES)
    np.testing.assert_allclose([v for _, v in shapes], motion.weights[0], atol=1e-6)
    assert [a for a, _ in messages[52:]] == ["/VMC/Ext/Bone/Pos", "/VMC/Ext/Blend/Apply", "/VMC/Ext/OK", "/VMC/Ext/T"]
    assert messages[53][1] == [] and messages[54][1] == [1] and messages[55][1] == [1.5]


@pytest.mark.parametrize(
    ("head", "axis"),
    [((0.4, 0, 0), (0, -1, 0)), ((0, 0.4, 0), (-1, 0, 0)), ((0, 0, 0.4), (0, 0, -1))],
)
def test_the_head_turns_in_unitys_coordinates(head: tuple[float, float, float], axis: tuple[int, ...]) -> None:
    """Left-handed, X to the right: to the left is negative about Y, up negative about X, to the right shoulder about Z.

    Unity turns clockwise as seen from the axis' end: positive Y to the right, positive X down, positive Z to the left.
    """
    (_, (name, *values)) = next(m for m in received(pack_vmc(0, face(head))) if m[0] == "/VMC/Ext/Bone/Pos")
    assert name == "Head" and values[:3] == [0, 0, 0]
    np.testing.assert_allclose(values[3:6], np.array(axis) * np.sin(0.2), atol=1e-6)
    assert values[6] == pytest.approx(np.cos(0.2))


def test_frames_go_to_a_listener_and_hosts_are_known() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        sender = VMCSender("localhost", listener.getsockname()[1])  # IPv4, where these programs listen
        sender.send(3, face())
        assert received([listener.recv(2000), listener.recv(2000)]) == received(pack_vmc(3, face()))
        assert sender.failed == 0
        sender.close()
    for host in ("no.such.host.invalid", "255.255.255.255"):  # that everybody hears, which sockets do not do unasked
        with pytest.raises(UserError, match="of a VMC listener"):
            VMCSender(host)
