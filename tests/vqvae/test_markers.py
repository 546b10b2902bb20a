""".c3d files: numbers of all machines, markers of three published sets, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from avatargpt import export
from tests.vqvae.c3d_files import markers_of, write_c3d
from tests.vqvae.rigs import LIMBS, angles, limbs_off, motion, places_of
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.io.c3d import read_c3d
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22

_OPTITRACK = {"SHO": "ShoulderTop", "ELB": "ElbowOut", "WRA": "WristIn", "WRB": "WristOut", "FIN": "HandOut",
              "KNE": "KneeOut", "ANK": "AnkleOut", "TOE": "ToeIn"}  # fmt: skip
SETS = {
    "plug-in gait": lambda m: {f"Ann:{k}": v for k, v in m.items()},
    "cmu": lambda m: {k.replace("ASI", "FWT").replace("PSI", "BWT").replace("RBAK", "RBAC"): v for k, v in m.items()},
    "optitrack": lambda m: optitrack(m),
}


def optitrack(markers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """OptiTrack's labels of the places that it shares, without heels."""
    head = sum(markers[n] for n in ("LFHD", "RFHD", "LBHD", "RBHD")) / 4
    front = (markers["LFHD"] + markers["RFHD"]) / 2
    out = {"HeadTop": head + 0.08 * np.cross(front - head, markers["LFHD"] - markers["RFHD"]) / 0.085 / 0.14,
           "HeadFront": front, "BackTop": markers["C7"]}  # fmt: skip
    for side in "LR":
        out |= {f"{side}{theirs}": markers[side + ours] for ours, theirs in _OPTITRACK.items()}
        out[f"{side}ToeOut"] = markers[f"{side}TOE"]
        out |= {f"Waist{side}Front": markers[f"{side}ASI"], f"Waist{side}Back": markers[f"{side}PSI"]}
    return out


def clip(frames: int = 40) -> Motion:
    """Arms and legs that bend as hinges do, a trunk that bends a little."""
    swung = motion(frames)
    vectors = rot.to_axis_angle(swung.rotations.astype(np.float64))
    hinges = {"l_elbow": (0, -1, 0), "r_elbow": (0, 1, 0), "l_knee": (1, 0, 0), "r_knee": (1, 0, 0)}
    for k, name in enumerate(SMPL22.names):
        if name in hinges:
            vectors[:, k] = np.array(hinges[name]) * (0.1 + 2 * np.abs(vectors[:, k, :1]))
        elif name not in ("l_shoulder", "r_shoulder", "l_hip", "r_hip", "head"):
            vectors[:, k] *= 0.3
    return Motion(rot.from_axis_angle(vectors), swung.root, swung.fps)


def recorded(markers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Millimetres, Z up: ours turned about X."""
    turn = rot.from_axis_angle(np.array([np.pi / 2, 0, 0]))
    return {k: 1000 * rot.rotate(turn, v) for k, v in markers.items()}


@pytest.mark.parametrize("name", SETS)
def test_bodies_of_published_sets(tmp_path: Path, name: str) -> None:
    truth = clip()
    read = export.load(write_c3d(tmp_path / "a.c3d", recorded(SETS[name](markers_of(truth)))))
    assert read.fps == 100 and len(read) == len(truth)
    np.testing.assert_allclose(read.root, truth.root, atol=0.04)
    feet = [(f"{s}_ankle", f"{s}_foot") for s in "lr"]
    assert limbs_off(places_of(read.joints), places_of(truth.joints), [*LIMBS, *feet]) < 8
    turns = [rot.from_matrix(m.skeleton.fk_full(m.rotations, m.root)[1]) for m in (read, truth)]
    for joint in ("pelvis", "spine3", "head", "l_wrist", "r_wrist"):
        assert np.degrees(angles(*(t[:, SMPL22.index(joint)] for t in turns))).max() < 8, joint


@pytest.mark.parametrize("machine, scaled", [(84, True), (85, False), (86, False), (86, True)])
def test_numbers_of_all_machines(tmp_path: Path, machine: int, scaled: bool) -> None:
    points = recorded(markers_of(clip(6)))
    read = read_c3d(write_c3d(tmp_path / "a.c3d", points, 59.94, machine, scaled, "-X"))
    assert read.labels == tuple(points) and read.up == "-x" and read.fps == pytest.approx(59.94)
    np.testing.assert_allclose(read.points, np.stack(list(points.values()), 1), atol=0.051 if scaled else 1e-3)


def test_markers_out_of_sight(tmp_path: Path) -> None:
    whole, points = clip(200), recorded(markers_of(clip(200)))
    points["LKNE"][40:60] = np.nan
    points["RELB"][:30] = np.nan
    read = export.load(write_c3d(tmp_path / "a.c3d", points))
    knee = SMPL22.index("l_knee")
    np.testing.assert_allclose(read.joints[:, knee], whole.joints[:, knee], atol=0.06)
    points["LKNE"][40:160] = np.nan
    with pytest.raises(UserError, match=r"a\.c3d: LKNE is out of sight for 1\.2 s from frame 40 on; accepted gaps up"):
        export.load(write_c3d(tmp_path / "a.c3d", points))


def test_up_is_where_the_body_stands_else_what_is_stated(tmp_path: Path) -> None:
    truth, points = clip(), recorded(markers_of(clip()))
    np.testing.assert_allclose(
        export.load(write_c3d(tmp_path / "a.c3d", points, y_screen="+Y")).root, truth.root, atol=0.04)  # fmt: skip
    lying = export.load(tmp_path / "a.c3d", up="y")
    head, pelvis = (lying.joints[:, SMPL22.index(n)] for n in ("head", "pelvis"))
    assert (np.abs(head - pelvis)[:, 1] < 0.3).all()
    with pytest.raises(UserError, match="up 'w'; accepted x, y, z"):
        export.load(tmp_path / "a.c3d", up="w")


def test_what_is_refused_says_what_was_seen(tmp_path: Path) -> None:
    points, path = recorded(markers_of(clip(6))), tmp_path / "a.c3d"

    def refused(named: dict[str, np.ndarray], line: str) -> None:
        with pytest.raises(UserError, match=line):
            export.load(write_c3d(path, named))

    refused({f"M{k:03}": v for k, v in enumerate(points.values())}, "31 markers called M000, M001, .*, ...; accepted")
    refused({k: v for k, v in points.items() if k not in ("LKNE", "C7")}, "no markers C7, LKNE .*; accepted")
    refused({k: np.where(k == "LKNE", np.nan, v) for k, v in points.items()}, "no markers LKNE")
    both = {f"{who}:{k}": v for who in ("Ann", "Bob") for k, v in points.items()}
    refused(both, r"2 people \(Ann, Bob\); accepted the markers of one")
    data = write_c3d(path, points).read_bytes()
    for damaged, line in ((data[:-512], "cut short: 4 of 6 frames"), (b"\0" * 2000, "no .c3d"), (data[:600], "no .c3d"),
                          (data[:12] + b"\0\0\x80\x7f" + data[16:520], "no .c3d")):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"a\.c3d: {line}"):
            export.load(path)
