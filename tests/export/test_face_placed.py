"""The head on the body's joints, and what of it must not fold, tear or stay behind."""

import numpy as np

from avatargpt.export.head.head import head
from avatargpt.export.head.morphs import shaped
from avatargpt.export.head.placed import PLACE, placed_head
from avatargpt.export.head.skin import _grid
from avatargpt.export.mesh import bind_pose, body_mesh
from vqvae import arkit
from vqvae.skeleton import SMPL22


def test_the_placed_head_sits_on_its_joint() -> None:
    shape, placed, places = head(), placed_head(), bind_pose()[0]
    eye = placed.points[shape.part("eyeLeft")].mean(0) - places[SMPL22.index("head")]
    assert np.allclose(eye, shape.points[shape.part("eyeLeft")].mean(0) + PLACE, atol=1e-6)
    rigid = shape.follow == 1
    assert (placed.joints[rigid, 0] == SMPL22.index("head")).all() and (placed.weights[rigid, 0] == 1).all()
    assert np.allclose(placed.weights.sum(1), 1, atol=1e-6) and (placed.joints[placed.weights == 0] == 0).all()


def test_the_collar_ends_in_the_shirt() -> None:
    from scipy.spatial import cKDTree

    shape, placed, body = head(), placed_head(), body_mesh()
    used = np.unique(placed.triangles)
    collar = used[shape.part("collar")[used]]
    hem = collar[shape.points[collar, 1] == shape.points[collar, 1].min()]
    gap, near = cKDTree(body.vertices).query(placed.points[hem])
    above = ((placed.points[hem] - body.vertices[near]) * body.normals[near]).sum(1)
    assert len(hem) >= 20 and gap.max() < 0.015 and above.max() < 0.001


def test_no_row_of_the_skin_crosses_another_beside_the_mouth() -> None:
    assert (np.diff(_grid()[26:, 12:28, 1], axis=0).max()) < 0.0005


def test_lashes_go_with_the_lids() -> None:
    s = head().skin
    tips = np.flatnonzero(np.isclose(s.lid, 0.995) & (s.points[:, 0] > 0))
    weights = np.zeros(arkit.COUNT)
    weights[arkit.INDEX["eyeBlinkLeft"]] = 1
    assert len(tips) > 30 and (shaped(weights)[tips, 1] - s.points[tips, 1]).max() < -0.001
