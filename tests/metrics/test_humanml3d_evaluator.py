"""Evaluators of motion: the published one of HumanML3D and ours; degradations that they must see."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from avatargpt.metrics.degradations import DEGRADATIONS, degrade
from avatargpt.metrics.evaluator import CHANNELS, FILE, EvaluatorNetwork, MotionEvaluator, joint_features, pad_rows
from avatargpt.metrics.humanml3d import (
    TAGS,
    Evaluator,
    MatchingNetwork,
    MotionEncoder,
    MovementEncoder,
    PublishedShape,
    TextEncoder,
    draw_crop,
    load_evaluator,
    read_vocabulary,
    shape_of,
    whole_units,
)
from tests.metrics import humanml3d_made as made
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

# What networks/modules.py of EricGuo5513/text-to-motion (commit 7a2a2b2) gives with the weights and inputs below.
OF_MOTIONS = (
    (-0.1141507, 0.7375698, 0.2630982, -0.6782352, -0.3673768, 0.5141636),
    (-0.1143402, 0.7369598, 0.2630000, -0.6776714, -0.3670128, 0.5137716),
    (-0.1130025, 0.7295039, 0.2581459, -0.6725049, -0.3597220, 0.5120435),
)
OF_TEXTS = (
    (0.0093777, 0.2722396, -0.0722182, -0.2318961, 0.1127020, 0.1917269),
    (-0.0147062, 0.2960856, -0.0612574, -0.2617741, 0.1181838, 0.2185881),
    (-0.0201742, 0.3031095, -0.0596549, -0.2696799, 0.1209321, 0.2249814),
)
SAID = [["a/DET", "person/NOUN", "walk/VERB"], ["a/DET"] * 25, ["jump/VERB", "unheard/NOUN"]]


def published() -> MatchingNetwork:
    network = MatchingNetwork(made.SHAPE)
    for part in (network.movement_encoder, network.text_encoder, network.motion_encoder):
        made.filled(part)
    return network.eval()


def test_networks_are_those_published() -> None:
    network, frames = published(), torch.tensor([196, 120, 40])
    motions = torch.zeros(3, 196, 263)
    for row, t in enumerate(frames.tolist()):
        at = torch.arange(t * 263, dtype=torch.float64).reshape(t, 263)
        motions[row, :t] = torch.sin(0.37 * at + row).float()
    words = torch.sin(0.11 * torch.arange(3 * 22 * 12, dtype=torch.float64)).reshape(3, 22, 12).float()
    tags = torch.eye(15)[torch.arange(66).reshape(3, 22) % 15]
    with torch.no_grad():
        texts, moved = network(words, tags, torch.tensor([22, 9, 4]), motions, frames)
    np.testing.assert_allclose(moved, OF_MOTIONS, atol=2e-6)
    np.testing.assert_allclose(texts, OF_TEXTS, atol=2e-6)


def test_sizes_and_names_of_parameters_are_those_published() -> None:
    shape = PublishedShape()
    parts = MovementEncoder(shape.width, shape.movement), TextEncoder(shape), MotionEncoder(shape)
    sizes = {k: tuple(v.shape) for part in parts for k, v in part.state_dict().items()}
    assert sizes["main.0.weight"] == (512, 259, 4) and sizes["out_net.weight"] == (512, 512)
    assert sizes["pos_emb.weight"] == (300, 15) and sizes["gru.weight_ih_l0_reverse"] == (3072, 1024)
    assert sizes["hidden"] == (2, 1, 1024) and sizes["output_net.3.weight"] == (512, 1024)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [1_842_688, 4_100_288, 15_747_584]


def test_vectors_depend_on_nothing_beside_a_motion() -> None:
    judge = made.evaluator()
    motions = [made.motion(k, t) for k, t in enumerate((40, 196, 120, 44, 4))]
    whole, order = judge.embed_motions(motions), [3, 1, 4, 0, 2]
    for some in (judge.embed_motions(motions, batch=2), np.concatenate([judge.embed_motions([m]) for m in motions])):
        np.testing.assert_allclose(some, whole, atol=1e-6)
    np.testing.assert_allclose(judge.embed_motions([motions[i] for i in order]), whole[order], atol=1e-6)
    other = [m.copy() for m in motions]
    for m in other:
        m[:, 259:] = 1 - m[:, 259:]
    np.testing.assert_array_equal(judge.embed_motions(other), whole)  # contacts are not looked at
    other[0][39, 0] += 5
    assert np.abs(judge.embed_motions(other) - whole)[0].max() > 1e-5
    texts = judge.embed_texts(SAID)
    np.testing.assert_allclose(judge.embed_texts(SAID[::-1], batch=1)[::-1], texts, atol=1e-6)
    np.testing.assert_allclose(judge.embed_texts([SAID[1][:20]]), texts[1:2], atol=1e-6)  # none beyond the twentieth
    assert judge.embed_texts([]).shape == judge.embed_motions([]).shape == (0, 6)


def test_features_are_normalised_by_its_own_mean_and_deviation() -> None:
    plain = made.evaluator()
    moved = Evaluator(plain.network, np.full(263, 2.0), np.full(263, 3.0), plain.vocabulary)
    x = made.motion(0, 48)
    np.testing.assert_allclose(moved.embed_motions([x * 3 + 2]), plain.embed_motions([x]), atol=1e-5)
    assert moved.fingerprint != plain.fingerprint == made.evaluator().fingerprint
    for bad in (x[:0], np.zeros((197, 263)), np.zeros((8, 262)), np.full((8, 263), np.nan)):
        with pytest.raises(ValueError, match="accepted"):
            plain.embed_motions([bad])
    with pytest.raises(UserError, match="none above zero"):
        Evaluator(plain.network, np.zeros(263), np.zeros(263), plain.vocabulary)


def test_words_have_classes_of_their_own() -> None:
    own = made.vocabulary()
    looked = {t: own.look_up(t) for t in ("walk/NOUN", "left/ADV", "slowly/ADV", "person/NOUN", "a/X", "unheard/VERB")}
    assert [TAGS[tag] for _, tag in looked.values()] == ["Act_VIP", "Loc_VIP", "Desc_VIP", "NOUN", "OTHER", "OTHER"]
    assert looked["unheard/VERB"][0] == 0 and looked["walk/NOUN"][0] == made.WORDS.index("walk")
    words = own.encode(SAID)
    assert words.lengths.tolist() == [5, 22, 4] and words.vectors.shape == (3, 22, 12)
    np.testing.assert_array_equal(words.vectors[0, 5:], np.tile(own.vectors[0], (17, 1)))
    assert (words.tags.sum(-1) == 1).all()


def test_lengths_are_drawn_as_published() -> None:
    rng = np.random.default_rng(0)
    crops = [draw_crop(43, rng) for _ in range(3000)]
    assert {c.frames for c in crops} == {36, 40} and all(0 <= c.start <= 43 - c.frames for c in crops)
    assert np.mean([c.frames == 36 for c in crops]) == pytest.approx(1 / 3, abs=0.03)
    assert {c.start for c in crops if c.frames == 40} == set(range(4))
    assert [whole_units(t) for t in (4, 43, 196, 240)] == [4, 40, 196, 196]
    for call in (lambda: whole_units(3), lambda: draw_crop(7, rng)):
        with pytest.raises(ValueError, match="accepted"):
            call()


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_published_files_are_read_without_unpickling(tmp_path: Path, protocol: int) -> None:
    judge, back = made.evaluator(), load_evaluator(made.write_evaluator(tmp_path, protocol=protocol))
    assert back.fingerprint == judge.fingerprint and shape_of(back.network.state_dict()) == made.SHAPE
    np.testing.assert_array_equal(back.embed_texts(SAID), judge.embed_texts(SAID))
    with pytest.raises(UserError, match="no evaluator; accepted"):
        load_evaluator(tmp_path / "nowhere")


class _Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("called",)


def test_nothing_in_published_files_is_called(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.write_evaluator(tmp_path)
    (tmp_path / "glove/our_vab_idx.pkl").write_bytes(pickle.dumps({"unk": _Calls()}))
    with pytest.raises(UserError, match=r"idx\.pkl: not a pickle of words .*makes something else.*accepted"):
        load_evaluator(tmp_path)
    torch.save({"movement_encoder": _Calls()}, tmp_path / "text_mot_match/model/finest.tar")
    with pytest.raises(UserError, match=r"finest\.tar: not a checkpoint"):
        load_evaluator(tmp_path)
    assert capsys.readouterr().out == ""


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    made.write_evaluator(tmp_path)
    shutil.rmtree(tmp_path / "glove")
    with pytest.raises(UserError, match=r"no our_vab_data\.npy; accepted in"):
        load_evaluator(tmp_path)
    made.write_words(tmp_path)
    assert load_evaluator(tmp_path).fingerprint == made.evaluator().fingerprint  # a plain list beside the rest
    (tmp_path / "our_vab_words.txt").write_text("unk\nsos\n")
    with pytest.raises(UserError, match="2 words and vectors"):
        read_vocabulary(tmp_path)
    (tmp_path / "Comp_v6_KLD01/meta/std.npy").unlink()
    with pytest.raises(UserError, match=r"std\.npy: no such file"):
        load_evaluator(tmp_path)


def test_features_of_the_corpus_itself(shared: Path) -> None:
    """HumanML3D's own clip: our features of its joints are seen as its own features are."""
    from vqvae.io.hml263 import encode_joints

    folder = shared / "data/reference"
    joints, vectors, mean, std = (
        np.load(folder / f"{name}.npy") for name in ("new_joints_012314", "new_joint_vecs_012314", "Mean", "Std")
    )
    plain = made.evaluator()
    judge = Evaluator(plain.network, mean, std, plain.vocabulary)
    t = whole_units(len(vectors))
    own = judge.embed_motions([vectors[:t]])
    last = joints[-1] + (joints[-1] - joints[-2])
    ours = judge.embed_motions([encode_joints(np.concatenate([joints, last[None]]))[:t]])
    other = judge.embed_motions([vectors[:t][::-1]])
    assert np.linalg.norm(ours - own) < 0.02 * np.linalg.norm(other - own)


def walk(frames: int = 50) -> Motion:
    """A figure in T-pose that glides ahead and turns left, one knee swinging."""
    t = np.arange(frames) / 20
    q = np.array(rot.identity((frames, 22)), np.float64)
    q[:, 0] = rot.from_axis_angle(np.outer(0.3 * t, [0, 1.0, 0]))
    q[:, 4] = rot.from_axis_angle(np.outer(0.5 * np.sin(6 * t), [1.0, 0, 0]))
    return Motion(q, np.stack([0 * t, 0 * t + 0.95, 1.2 * t], -1), 20.0)


def evaluator(seed: int = 0) -> MotionEvaluator:
    torch.manual_seed(seed)
    return MotionEvaluator(EvaluatorNetwork(16, 12, 8, 2))


def test_features_are_what_they_are_called() -> None:
    x = joint_features(walk().joints)
    assert x.shape == (50, CHANNELS) and x.dtype == np.float32
    assert np.allclose(x[:, 0], 0.95, atol=1e-5)
    assert np.allclose(np.linalg.norm(x[1:, 1:3], axis=1), 1.2, atol=1e-4)
    assert np.allclose(x[2:-2, 3], 0.3, atol=1e-3)
    assert np.isclose(x[-1, 135], np.sin(0.3 * 49 / 20), atol=2e-2)


def test_features_do_not_know_where_a_clip_stands() -> None:
    moved = walk().moved(1.1, np.array([3.0, 0.0, -2.0]))
    assert np.allclose(joint_features(walk().joints), joint_features(moved.joints), atol=1e-4)


@pytest.mark.parametrize("joints", [np.zeros((5, 21, 3)), np.zeros((1, 22, 3)), np.full((5, 22, 3), np.nan)])
def test_what_is_no_clip_is_refused(joints: np.ndarray) -> None:
    with pytest.raises(UserError, match="accepted"):
        joint_features(joints)


def test_padding_changes_nothing() -> None:
    judge = evaluator()
    rows = [joint_features(walk(n).joints) for n in (2, 7, 33, 50)]
    with torch.inference_mode():
        together = judge.network.encode_motions(*pad_rows(rows)).numpy()
    alone = np.concatenate([judge.frames([r]) for r in rows])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(np.linalg.norm(alone, axis=1) - 1).max() < 1e-5
    assert np.abs(judge.frames(rows) - alone).max() < 1e-5


def test_file(tmp_path: Path) -> None:
    judge = evaluator()
    path = judge.save(tmp_path)
    back = MotionEvaluator.load(tmp_path)
    assert path.name == FILE and path.stat().st_size < 60_000
    assert (judge.motions([walk()]) * back.motions([walk()])).sum() > 0.99
    vectors = np.eye(3, 384, dtype=np.float32)
    assert (judge.sentences(vectors) * back.sentences(vectors)).sum(1).min() > 0.99
    assert back.fingerprint == MotionEvaluator.load(tmp_path).fingerprint != evaluator(1).fingerprint


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no evaluator.safetensors"):
        MotionEvaluator.load(tmp_path)
    path = evaluator().save(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="evaluator"):
        MotionEvaluator.load(tmp_path)


def test_degradations() -> None:
    n = 40
    q = rot.from_axis_angle(np.outer(np.linspace(0, 1, n), [0, 0, 1.0])[:, None] * (np.arange(22) == 16)[:, None])
    motion = Motion(q, np.stack([np.zeros(n), np.full(n, 0.95), np.arange(n) / 20], -1))
    length = {"half speed": 79, "double speed": 20, "half length": 20}
    for name in DEGRADATIONS:
        worse = degrade(motion, name, 3)
        assert len(worse) == length.get(name, n), name
        assert (degrade(motion, name, 3).joints == worse.joints).all()
        assert np.abs(worse.joints[0, 0, [0, 2]]).max() < 1e-6
        assert len(worse) != n or np.abs(worse.joints - motion.joints).max() > 0.05, name
    assert degrade(motion, "constant pose").joints.std(0).max() < 1e-6
    away = motion.moved(0.3, np.array([2.0, 0, 1]))
    assert np.abs(degrade(away, "half length", in_place=True).joints - away.joints[: n // 2]).max() < 1e-6
    with pytest.raises(UserError, match="accepted: noise"):
        degrade(motion, "upside down")


def test_degradations_of_faces() -> None:
    n = 40
    weights = np.zeros((n, arkit.COUNT), np.float32)
    weights[:, arkit.INDEX["mouthSmileLeft"]] = np.linspace(0, 1, n)
    face = FaceMotion(weights, np.outer(np.linspace(0, 0.5, n), [1.0, 0.5, -1.0]))
    worse = {name: degrade(face, name, 3) for name in DEGRADATIONS}
    assert {k: len(w) for k, w in worse.items() if len(w) != n} == {
        "half speed": 79, "double speed": 20, "half length": 20
    }  # fmt: skip
    assert all((degrade(face, k, 3).curves == w.curves).all() for k, w in worse.items())
    flipped = worse["mirrored"]
    np.testing.assert_array_equal(flipped.channel("mouthSmileRight"), face.channel("mouthSmileLeft"))
    np.testing.assert_allclose(flipped.head, face.head * [-1, 1, -1])
    np.testing.assert_allclose(worse["half speed"].curves[::2], face.curves, atol=1e-6)
    assert worse["half speed"].curves[1] == pytest.approx(face.curves[:2].mean(0), abs=1e-6)
    np.testing.assert_array_equal(worse["double speed"].curves, face.curves[::2])
    np.testing.assert_array_equal(worse["half length"].curves, face.curves[:20])
    np.testing.assert_array_equal(worse["constant pose"].curves, np.tile(face.curves[20], (n, 1)))
    order = worse["shuffled time"].channel("mouthSmileLeft")
    assert (order != face.channel("mouthSmileLeft")).any() and np.ptp(np.sort(order) - weights.max(1)) == 0
    assert 0.08 < (worse["noise"].head - face.head).std() < 0.12 and worse["noise"].weights.min() >= 0
