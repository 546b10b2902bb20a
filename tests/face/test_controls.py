"""Controls, blinks, idle life and closed lids: each changes what it names and nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.face.audio_model.conditioning import Clause, Direction
from avatargpt.face.audio_model.controls import Controls, LiveControls, apply_controls, with_eye_contact
from avatargpt.face.audio_model.idle import Idler, LidClosing, calm_spans, gaze, jaw_spans, lid_spans, with_gaze
from avatargpt.face.pipeline import FacePipeline
from avatargpt.kinematics import face as kinematics
from avatargpt.metrics.face_events import check_score
from avatargpt.train.speech_data.expressions import median_curves
from instruct_data.face.score import Emotion, Event, Score
from tests.factories import RandomGrounder
from vqvae import arkit
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.smoothing import runs_of

I = arkit.INDEX  # noqa: E741
JAW, LIDS = I["jawOpen"], [I["eyeBlinkLeft"], I["eyeBlinkRight"]]
EYES = [i for i, n in enumerate(arkit.NAMES) if n.startswith("eyeLook")]


def noise(frames: int = 300) -> FaceMotion:
    rng = np.random.default_rng(0)
    return FaceMotion(rng.uniform(0.1, 0.4, (frames, 52)), rng.uniform(-0.2, 0.2, (frames, 3)))


def still(seconds: float, fps: float = 30.0, jaw: float = 0.0, lids: float = 0.0) -> FaceMotion:
    """A face at rest whose jaw opens four times a second and whose lids are lowered."""
    weights = np.zeros((round(seconds * fps), arkit.COUNT))
    weights[:, JAW] = jaw * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * np.arange(len(weights)) / fps))
    weights[:, LIDS] = lids
    return FaceMotion(weights, np.zeros((len(weights), 3)), fps)


def lids(motion: FaceMotion) -> np.ndarray:
    return motion.weights[:, LIDS]


def blinks(motion: FaceMotion) -> int:
    shut = lids(motion).min(1) > 0.7
    return int((np.diff(np.concatenate([[0], shut.astype(int)])) > 0).sum())


def frame_by_frame(motion: FaceMotion, change: LiveControls) -> np.ndarray:
    return np.concatenate([change(motion.slice(i, i + 1)).curves for i in range(len(motion))])


def test_gain_and_offset_by_any_spelling() -> None:
    m = noise()
    assert np.array_equal(apply_controls(m, Controls()).curves, m.curves)
    out = apply_controls(m, Controls(gain={"JawOpen": 2.0, "mouth_smile": 0.5}, offset={"browDownLeft": 0.2}))
    named = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "browDownLeft")
    others = [i for i, n in enumerate(arkit.NAMES) if n not in named]
    assert np.array_equal(out.weights[:, others], m.weights[:, others])
    for name, factor, offset in zip(named, (2.0, 0.5, 0.5, 1.0), (0, 0, 0, 0.2), strict=True):
        assert np.allclose(out.weights[:, I[name]], factor * m.weights[:, I[name]] + offset), name
    assert apply_controls(m, Controls(gain={"jawOpen": 5})).weights.max() <= 1


@pytest.mark.parametrize(
    ("controls", "jaw"),
    [
        (Controls(mouth=2.0, gain={"jawOpen": 0.5}), [0.3, 0.6, 0.9]),  # factors meet before they are cut
        (Controls(gain={"jawOpen": 2.0}, offset={"jawOpen": -0.5}), [0.1, 0.7, 1.0]),
    ],
)
def test_factors_and_offsets_together(controls: Controls, jaw: list[float]) -> None:
    m = still(0.1)
    m.weights[:, JAW] = [0.3, 0.6, 0.9]
    assert np.allclose(apply_controls(m, controls).channel("jawOpen"), jaw)


def test_strengths_of_mouth_and_brow() -> None:
    m = noise()
    out = apply_controls(m, Controls(mouth=0.0, brow=2.0))
    for i, name in enumerate(arkit.NAMES):
        factor = 0 if name.startswith(("jaw", "mouth", "tongue")) else 2 if name.startswith("brow") else 1
        assert np.allclose(out.weights[:, i], factor * m.weights[:, i], atol=1e-6), name


def test_symmetry_keeps_winks_and_gaze() -> None:
    m = noise()
    out, half = (apply_controls(m, Controls(symmetry=x)) for x in (1.0, 0.5))
    assert np.allclose(out.channel("mouthSmileLeft"), out.channel("mouthSmileRight"))
    assert np.allclose(out.channel("mouthSmile"), m.channel("mouthSmile"), atol=1e-6)
    assert not out.channel("jawLeft").any() and not out.channel("mouthRight").any()
    assert np.array_equal(out.weights[:, LIDS + EYES], m.weights[:, LIDS + EYES])
    before, after = (np.abs(x.channel("cheekSquintLeft") - x.channel("cheekSquintRight")) for x in (m, half))
    assert np.allclose(after, before / 2, atol=1e-6)


def test_smoothing_has_no_delay() -> None:
    m = still(101 / 30)
    m.weights[50, JAW], m.head[50] = 1, 0.5
    smooth = apply_controls(m, Controls(smooth=0.05))
    jaw, t = smooth.channel("jawOpen"), np.arange(101) - 50
    assert jaw.argmax() == 50 and np.allclose(smooth.curves, smooth.curves[::-1], atol=1e-6)
    assert np.sqrt((jaw * t**2).sum() / jaw.sum()) / 30 == pytest.approx(0.05, rel=0.05)
    assert 0.1 < smooth.head.max() < 0.2


@pytest.mark.parametrize("rate", [0.0, 6.0, 20.0])
def test_blink_rate(rate: float) -> None:
    m = apply_controls(still(180), Controls(blink_rate=30), seed=5)
    assert 60 <= blinks(m) <= 100
    out, same, other = (apply_controls(m, Controls(blink_rate=rate), seed=s).weights for s in (1, 1, 2))
    assert blinks(FaceMotion(out, m.head)) == pytest.approx(3 * rate, abs=max(0.25 * 3 * rate, 0.1))
    assert np.array_equal(out, same) and np.array_equal(out, other) == (rate == 0)
    others = [i for i in range(arkit.COUNT) if i not in LIDS]
    assert np.array_equal(out[:, others], m.weights[:, others])


def test_winks_and_closed_eyes_are_no_blinks() -> None:
    m = still(200 / 30)
    m.weights[20:30, LIDS[0]] = 1  # a wink
    m.weights[80:140, LIDS] = m.weights[160:165, LIDS] = 1  # two seconds closed; a blink
    out = apply_controls(m, Controls(blink_rate=0))
    assert np.array_equal(out.weights[:150], m.weights[:150]) and lids(out)[150:].max() < 1e-6


def test_no_new_blink_falls_on_a_wink() -> None:
    m = still(120)
    winks = np.arange(3600) % 120 < 60
    m.weights[winks, LIDS[0]] = 1
    right = apply_controls(m, Controls(blink_rate=60)).channel("eyeBlinkRight")
    assert right.max() > 0.9 and not right[winks].any()


def test_no_eye_is_wide_behind_a_closed_lid() -> None:
    wide, m = [I["eyeWideLeft"], I["eyeWideRight"]], still(60)
    m.weights[:, wide] = 0.6
    out = apply_controls(m, Controls(blink_rate=30))
    shut = lids(out).min(1) > 0.99
    assert shut.any() and out.weights[shut][:, wide].max() < 0.01 and out.weights[:, wide].max() == pytest.approx(0.6)


def test_a_blink_lasts_as_long_at_any_rate() -> None:
    lid = apply_controls(still(30, 120.0), Controls(blink_rate=20)).channel("eyeBlink") > 0.1
    edges = np.flatnonzero(np.diff(lid.astype(int)))
    assert len(edges) >= 4 and (np.diff(edges)[::2] / 120 > 0.15).all()


def test_blinks_of_a_score_stay_and_others_keep_clear_of_them() -> None:
    score = Score(60.0, (Event("blink", 20.0, 1.5, 1.0, 3), Event("smile", 30.0, 5.0), Event("wink_left", 40.0, 0.5)))
    m = FaceMotion.from_curves(median_curves(score, 0, "left"))  # as the driver shows it: without further blinks
    out = apply_controls(m, Controls(blink_rate=30), lids=lid_spans(score))
    for start, end in ((19.7, 21.8), (39.7, 40.8)):
        span = slice(round(start * 30), round(end * 30))
        assert np.array_equal(out.weights[span], m.weights[span])
    assert blinks(out) > blinks(m) + 15
    assert blinks(out.slice(900, 1050)) > 0  # a smile keeps none off


def test_lowered_lids_blink_too() -> None:
    m = apply_controls(still(60, lids=0.55), Controls(blink_rate=20), lids=())
    without = apply_controls(m, Controls(blink_rate=0))
    assert 12 <= blinks(m) <= 28 and blinks(without) == 0 and lids(without).max() == pytest.approx(0.55)


@pytest.mark.parametrize(
    ("other", "highest"),
    [
        (Controls(gain={"eyeBlink": 0.5}), 0.5), (Controls(smooth=0.1), 1.0), (Controls(offset={"eyeBlink": -0.3}), 0.7)
    ],
)  # fmt: skip
def test_other_controls_hide_no_blink(other: Controls, highest: float) -> None:
    m = apply_controls(still(60), Controls(blink_rate=16), seed=3)
    assert lids(apply_controls(m, replace(other, blink_rate=0.0))).max() < 0.01
    more = replace(other, blink_rate=20.0)
    assert lids(apply_controls(m, more, seed=4)).max() == pytest.approx(highest)
    assert lids(apply_controls(m, replace(more, gain={"eyeBlink": 0.0}, offset={}))).max() == 0


def test_live_controls_are_those_of_the_whole_clip() -> None:
    score = Score(30.0, (Event("close_eyes", 10.0, 3.0), Event("raise_brows", 20.0, 2.0)))
    m, calm, jaw = FaceMotion.from_curves(median_curves(score, 0, "left")), ((3.0, 5.0),), ((6.0, 8.0),)
    m.weights[:, JAW] = still(30, jaw=0.3).weights[: len(m), JAW]
    shape = Controls(gain={"eyeBlink": 0.9}, mouth=1.2, brow=1.5, symmetry=0.5, eye_contact=0.5)
    for controls, least in ((replace(shape, blink_rate=25), 5), (replace(shape, blink_rate=20, idle=1.5), 3)):
        expected = apply_controls(m, controls, 7, lid_spans(score), calm, jaw)
        change = LiveControls(controls, m.fps, 7, lid_spans(score), calm, jaw)
        assert np.array_equal(frame_by_frame(m, change), expected.curves) and blinks(expected) > least
        assert expected.head.any() == m.head.any() or controls.idle
    with pytest.raises(UserError, match="whole clip"):
        LiveControls(Controls(smooth=0.1), 30.0)


def test_a_blink_that_the_end_cuts_off_is_begun() -> None:
    cut, m, controls = 0, still(3), Controls(blink_rate=60)
    for seed in range(40):
        expected = apply_controls(m, controls, seed, ())
        assert np.array_equal(frame_by_frame(m, LiveControls(controls, m.fps, seed)), expected.curves)
        cut += expected.weights[-1].max() > 0.2
        without_spans = apply_controls(m, controls, seed)
        # the last frame of a blink that ends with the clip counts as rest
        assert lids(apply_controls(without_spans, Controls(blink_rate=0.0))).max() < 0.05
    assert cut > 2


def test_blinks_and_glances_differ_between_sounds_and_seeds() -> None:
    clips = [still(20, jaw=jaw) for jaw in (0.2, 0.21)]  # mouths that differ by a little are different sounds
    controls = Controls(blink_rate=15, idle=1.0)
    moved = [apply_controls(clip, controls, seed, ()) for clip, seed in ((clips[0], 0), (clips[1], 0), (clips[0], 1))]
    begins = [np.flatnonzero(np.diff((lids(m)[:, 0] > 0.2).astype(int)) > 0).tolist() for m in moved]
    assert all(3 <= len(b) <= 8 and b[0] >= 14 for b in begins)
    assert len({tuple(b) for b in begins}) == 3 and begins[0][0] != begins[1][0]
    looks = [gaze(m.weights) for m in moved]
    assert np.abs(looks[0][60:] - looks[1][60:]).max() > 0.02
    again = apply_controls(clips[0], controls, 0, ())
    assert np.array_equal(again.curves, moved[0].curves)


def test_blinks_keep_their_rate() -> None:
    m = still(300)
    assert 60 <= blinks(apply_controls(m, Controls(blink_rate=15), 3, ())) <= 90


def test_a_rate_next_to_nothing_is_none() -> None:
    for spans in (None, ()):
        assert not apply_controls(still(3), Controls(blink_rate=1e-320), 0, spans).weights.any()
    assert not LiveControls(Controls(blink_rate=1e-320), 30.0)(still(3).slice(0, 1)).weights.any()


def test_eye_contact_undoes_the_head() -> None:
    full = np.radians(arkit.EYE_DEGREES)
    for head, looks in (
        ([0.3, 0, 0], {"eyeLookInLeft": 0.3 / full, "eyeLookOutRight": 0.3 / full}),  # head left, eyes right
        ([0, -0.2, 0], {"eyeLookUpLeft": 0.2 / full, "eyeLookUpRight": 0.2 / full}),  # head down, eyes up
    ):
        out = apply_controls(FaceMotion(np.zeros((1, 52)), np.array([head])), Controls(eye_contact=1.0))
        assert np.allclose(out.weights[0], [looks.get(n, 0.0) for n in arkit.NAMES], atol=1e-5)
    for head in ([0.3, 0.0, 0.3], [0.35, 0.1, -0.35], [0.2, 0.2, 0.3], [0.0, 0.0, 0.5]):  # also when it tilts
        x, y = kinematics.gaze(with_eye_contact(FaceMotion(np.zeros((1, 52)), np.array([head])), 1.0))
        eyes = np.array([[full * x[0], full * y[0], 0.0]])
        ahead = rot.rotate(rot.multiply(turns(np.array([head])), turns(eyes)), np.array([[0.0, 0.0, 1.0]]))
        assert np.degrees(np.arccos(ahead[0, 2])) < 0.1


def test_partial_eye_contact_keeps_part_of_the_gaze() -> None:
    m = still(0.2)
    m.weights[:, [I["eyeLookOutLeft"], I["eyeLookInRight"]]] = 0.8  # to the person's left, the head straight
    out = apply_controls(m, Controls(eye_contact=0.25)).weights
    assert np.allclose(out[:, [I["eyeLookOutLeft"], I["eyeLookInRight"]]], 0.6, atol=1e-5)


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (Controls(gain={"jawOpn": 1.0}), "did you mean jawOpen"), (Controls(gain={"jawOpen": 9}), "0 to 5"),
        (Controls(offset={"jawOpen": float("nan")}), "-1 to 1"), (Controls(mouth=-1), "0 to 3"),
        (Controls(symmetry=2), "0 to 1"), (Controls(blink_rate=1000), "0 to 60"), (Controls(smooth=3), "0 to 1"),
        (Controls(idle=-0.1), "idle"), (Controls(idle=3.1), "idle"), (Controls(idle=float("nan")), "idle"),
    ],
)  # fmt: skip
def test_mistakes(controls: Controls, message: str) -> None:
    with pytest.raises(UserError, match=message):
        apply_controls(noise(5), controls)


def test_gaze_is_taken_apart_and_put_together() -> None:
    rng = np.random.default_rng(0)
    looks = rng.uniform(-1, 1, (20, 2, 2))
    weights = with_gaze(rng.random((20, arkit.COUNT)), looks)
    assert np.allclose(gaze(weights), looks) and (weights[:, EYES] >= 0).all()
    left = with_gaze(np.zeros((1, arkit.COUNT)), np.array([[[0.5, -0.2], [0.5, -0.2]]]))[0]
    expected = {"eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5, "eyeLookDownLeft": 0.2, "eyeLookDownRight": 0.2}
    assert {n: left[I[n]] for n in arkit.NAMES if left[I[n]]} == expected


@pytest.mark.parametrize("fps", [30.0, 60.0])
def test_a_silent_face_is_alive_within_limits(fps: float) -> None:
    m = Idler(fps, seed=3)(still(120, fps))
    head = np.degrees(m.head)
    assert (head.std(0) > [0.6, 0.4, 0.3]).all() and (np.abs(head).max(0) < [6, 4, 4]).all()
    assert np.abs(np.diff(head, axis=0)).max() * fps < 15  # degrees a second
    jumps = np.abs(np.diff(gaze(m.weights)[:, 0], axis=0)).max(1) * fps > 0.4
    starts = np.count_nonzero(jumps[1:] & ~jumps[:-1])
    assert 50 < starts < 240 and np.abs(gaze(m.weights)).max() < 0.5
    assert not np.delete(m.weights, EYES, 1).any()  # a mouth in silence stays shut


def test_heads_of_speakers_move_more_and_dip_with_the_jaw() -> None:
    silent, speaking = (Idler(30.0, seed=5)(still(60, jaw=jaw)) for jaw in (0.0, 0.4))
    ratio = speaking.head[60:].std(0) / silent.head[60:].std(0)
    assert (ratio > 1.3).all() and (ratio < 3.5).all()
    jaw = np.diff(speaking.weights[60:, JAW])
    assert np.corrcoef(np.diff(speaking.head[60:, 1] - silent.head[60:, 1]), jaw)[0, 1] < -0.3
    assert abs(np.corrcoef(np.diff(speaking.head[60:, 0]), jaw)[0, 1]) < 0.1


def test_eyes_make_up_for_the_drift_of_the_head() -> None:
    m = Idler(30.0, 2.0, seed=1)(still(60))
    moves = np.diff(m.head[:, :2] + gaze(m.weights)[:, 0] * np.radians(arkit.EYE_DEGREES), axis=0)
    jumps = np.abs(moves) > np.radians(0.2)
    assert jumps.mean() < 0.2  # between jumps the viewer's place stays in view
    for axis in (0, 1):
        assert np.abs(moves[~jumps[:, axis], axis]).max() < np.radians(0.2) < m.head[:, axis].std()


def test_amounts_and_seeds_of_idle_life() -> None:
    m = still(20)
    assert Idler(30.0, 0.0)(m) is m
    single, double, other = (Idler(30.0, amount, seed)(m).head for amount, seed in ((1.0, 4), (2.0, 4), (1.0, 5)))
    assert np.allclose(double, 2 * single, atol=1e-6) and not np.allclose(single, other, atol=1e-3)
    assert np.array_equal(Idler(30.0, 1.0, 4)(m.slice(0, 100)).head, single[:100])


def test_actions_of_head_and_eyes_are_left_alone() -> None:
    events = (Event("look_left", 4.0, 3.0), Event("smile", 9.0, 3.0), Event("nod", 14.0, 2.0, repeat=2))
    spans = calm_spans(Score(20.0, events))
    assert spans == ((4.0, 7.0), (14.0, 16.0)) and calm_spans(None) == ()
    free, calm = (apply_controls(still(20), Controls(idle=1.0), 2, (), s).head for s in ((), spans))
    t = np.arange(600) / 30
    inside = ((t >= 4) & (t <= 7)) | ((t >= 14) & (t <= 16))
    outside = (t < 3.7) | ((t > 7.4) & (t < 13.7)) | (t > 16.4)
    assert np.allclose(calm[inside], 0.3 * free[inside], atol=1e-6) and np.array_equal(calm[outside], free[outside])


def test_jaw_actions_are_no_speech() -> None:
    wide, laugh = Event("wide_open_mouth", 4.0, 4.0, repeat=5), Event("laugh", 20.0, 2.0)
    spans = jaw_spans(Score(40.0, (wide, Event("broad_smile", 10.0, 9.0), laugh)))
    assert spans == ((4.0, 8.0), (20.0, 22.0)) and jaw_spans(None) == ()
    m, voice = still(30), still(30, jaw=0.4)
    m.weights[120:240, JAW] = voice.weights[120:240, JAW]
    quiet, action, speech = (Idler(30.0, 1.0, 3, (), s)(x).head for x, s in ((still(30), ()), (m, spans), (m, ())))
    assert np.abs(action - quiet).max() < np.radians(0.1) < np.radians(1.0) < np.abs(speech - quiet).max()
    m.weights[300:, JAW] = voice.weights[300:, JAW]
    after, speech = (Idler(30.0, 1.0, 3, (), s)(m).head for s in (spans[:1], ()))
    assert np.abs(after - speech)[400:].max() < np.radians(0.1)  # speech counts again afterwards


@pytest.fixture(scope="module")
def pipeline() -> FacePipeline:
    return FacePipeline.load()


@pytest.mark.parametrize(
    ("text", "shut"),
    [
        ("close your eyes", [True, True]), ("keep your eyes shut tight", [True, True]), ("blink", [True, True]),
        ("wink left", [True, False]), ("wink with your right eye", [False, True]), ("squint", None),
        ("look sleepy", None), ("half-close your eyes", None),
    ],
)  # fmt: skip
def test_only_lids_that_are_to_close_are_shut(pipeline: FacePipeline, text: str, shut: list[bool] | None) -> None:
    curves = lids(pipeline.perform(text))
    if shut is None:
        assert curves.max() < 0.8
    else:
        assert [bool(x >= 0.94) for x in curves.max(0)] == shut
        assert np.abs(np.diff(curves, axis=0)).max() < 0.8 and curves[[0, -1]].max() < 0.05


def test_every_blink_in_a_row_is_shut_and_stays_one(pipeline: FacePipeline) -> None:
    score = Score(4.0, (Event("blink", 0.4, 3.0, 0.7, 10),))
    motion = pipeline.perform(score=score, seconds=4.0)
    mean = lids(motion).mean(1)
    peaks = [x for a, x, b in zip(mean, mean[1:], mean[2:], strict=False) if a < x >= b and x > 0.5]
    assert len(peaks) >= 10 and min(peaks) > 0.9 and check_score(motion, score)[0].passed
    tired = Score(3.0, (Event("blink", 0.3, 2.0, 0.7, 2),), (Emotion("tired", 0.7, 0.0, 3.0),))
    motion = pipeline.perform(score=tired, seconds=3.0)
    assert check_score(motion, tired)[0].passed and lids(motion)[-5:].max() < 0.5  # they droop as before


@pytest.mark.parametrize("action", ["close_eyes", "blink", "wink_left"])
def test_the_degrees_of_shut_lids_rise(pipeline: FacePipeline, action: str) -> None:
    scores = [Score(3.0, (Event(action, 0.4, 1.6, s),)) for s in (0.3, 0.5, 0.7, 0.85, 1.0)]
    peaks = [float(lids(pipeline.perform(score=s, seconds=3.0))[:, 0].max()) for s in scores]
    assert np.diff(peaks).min() > 0.01 and peaks[1] < 0.8 < 0.94 < peaks[2] and peaks[4] > 0.99


def closed(clauses: list[Clause], seconds: float, row: np.ndarray | None = None) -> list[tuple[float, float]]:
    """Seconds from which and to which both lids of a driver's row (at rest by default) are more than half closed."""
    closing, row = LidClosing(), np.zeros(55, np.float32) if row is None else row
    closing.direct(Direction.make([], clauses, RandomGrounder()))
    frames = [closing(row, k / 30)[[arkit.INDEX["eyeBlinkLeft"], arkit.INDEX["eyeBlinkRight"]]].min()
              for k in range(round(30 * seconds))]  # fmt: skip
    return [(a / 30, b / 30) for a, b in runs_of(np.array(frames) > 0.5)]


def test_eyes_are_closed_from_second_to_second() -> None:
    ((start, end),) = closed([Clause("close eyes", 1.0, 3.0, 0.7, 1, "close_eyes")], 4.0)
    assert start == pytest.approx(1.0, abs=0.05) and end == pytest.approx(3.0, abs=0.05)
    low = np.full(55, 0.4, np.float32)  # lids that a feeling lowers
    (low_span,) = closed([Clause("close eyes", 1.0, 3.0, 0.7, 1, "close_eyes")], 4.0, low)
    assert low_span == pytest.approx((start, end), abs=0.1)


@pytest.mark.parametrize(("count", "seconds"), [(1, 0.5), (5, 1.6), (10, 2.5), (12, 2.4), (2, 4.0)])
def test_blinks_are_as_many_as_are_counted(count: int, seconds: float) -> None:
    shut = closed([Clause("blink", 0.4, 0.4 + seconds, 0.7, count, "blink")], seconds + 1)
    assert len(shut) == count
    beginnings = np.array([start for start, _ in shut])
    np.testing.assert_allclose(beginnings - beginnings[0], np.arange(count) * seconds / count, atol=0.05)


def test_blinks_that_another_instruction_ends_keep_their_tempo() -> None:
    first = Direction.make([], [Clause("blink", 0.0, 4.0, 0.7, 8, "blink")], RandomGrounder())
    after = first.follow_with(Direction.make([], [Clause("nod", 0.0, 1.0, 0.7, 1, "nod")], RandomGrounder()), 1.6, True)
    closing, lids = LidClosing(), []
    closing.direct(first)
    for k in range(90):
        if k == 48:
            closing.direct(after)
        lids.append(float(closing(np.zeros(55, np.float32), k / 30)[arkit.INDEX["eyeBlinkLeft"]]))
    assert len(runs_of(np.array(lids) > 0.5)) == 4 and max(lids[66:]) < 0.05
