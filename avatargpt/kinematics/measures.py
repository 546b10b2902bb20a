"""Measures on joint positions: pose errors, physical plausibility, and feature vectors of clips.

Arrays are world joints (T, 22, 3) in metres, Y up, floor at y = 0. Measures of plausibility have no right value:
compare them with those of real clips.
"""

import numpy as np

from avatargpt.kinematics.joints import swings
from instruct_data.attributes import DISTANCES, POSTURES, TURNS, Measures
from vqvae import rotations as rot
from vqvae.motion import heading
from vqvae.rates import BODY_FPS
from vqvae.skeleton import TOES
from vqvae.smoothing import average_window, longest, runs_of, sample_frames

EXTREMITIES = {"l_ankle": 7, "r_ankle": 8, "l_wrist": 20, "r_wrist": 21}
FEATURES = 228  # of `kinematic_features`
MIN_FRAMES = 3
POSE_SIZE, ATTRIBUTE_SIZE = 437, 309  # of the parts of a signature
SIZE = POSE_SIZE + ATTRIBUTE_SIZE
KEY_JOINTS = [0, 15, 20, 21, 7, 8]  # pelvis, head, wrists, ankles
MIN_SWING, WIDE_SWING = 0.12, 0.35  # m
MAX_SWINGS = 24.0
MIN_SIGNATURE_FRAMES = 6  # the last pose of a shorter clip is repeated
PAIRS = ((16, 17), (18, 19), (20, 21), (4, 5), (7, 8), (10, 11))  # shoulders, elbows, wrists, knees, ankles, toes
LEVELS = (0, 15, 20, 21, 4, 5, 7, 8)  # pelvis, head, wrists, knees, ankles
# of a half-swing, relative to the range of its signal, and at least in metres and degrees
SWING_SHARE, MIN_SMALL_SWING, MIN_TURN_SWING = 0.4, 0.02, 8.0
COMPONENTS = 3  # principal ones of the poses
# of small quick movements: frames over which slow ones are taken away, least half-swing in metres and in deviations
QUICK_FRAMES, MIN_QUICK_SWING, QUICK_SWING = 9, 0.008, 1.2
COUNT_CENTRES = (0, 1, 2, 3, 4, 5, 6, 8, 10)
TURN_CENTRES = (*(-d for d in reversed(TURNS)), 0, *TURNS)
DISTANCE_CENTRES = (0.1, 0.25, *DISTANCES)
REST_CENTRES = (0.0, 0.15, 0.3, 0.6, 1.0, 1.5)


def _pair(predicted: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(predicted, np.float64), np.asarray(target, np.float64)
    if a.shape != b.shape or a.ndim != 3 or a.shape[1:] != (22, 3) or not len(a):
        raise ValueError(f"joints {a.shape} and {b.shape}; both must be (T, 22, 3) with the same T >= 1")
    return a, b


def heading_frame(joints: np.ndarray) -> np.ndarray:
    """Joints in the heading frame, float64: each frame without its planar root position and its yaw.

    The yaw is that of the hips and shoulders (`vqvae.motion.heading`); heights stay.
    """
    x = np.asarray(joints, np.float64)
    return rot.rotate(rot.about_y(-heading(x))[:, None], x - x[:, :1] * [1, 0, 1])


def start_aligned(joints: np.ndarray) -> np.ndarray:
    """Move a clip so that its first frame is at x = z = 0 and faces +Z. (T, 22, 3) -> same, float64."""
    x = np.asarray(joints, np.float64)
    return rot.rotate(rot.about_y(-heading(x[:1])[0]), x - x[0, 0] * [1, 0, 1])


def mpjpe_heading(predicted: np.ndarray, target: np.ndarray) -> float:
    """Mean per-joint position error in the heading frame, millimetres.

    mean over frames and joints of |h(predicted) - h(target)|, h = `heading_frame` of each clip by itself: pose and
    height count, path and direction do not. Source: MPJPE after Ionescu et al. 2014 (Human3.6M), in the root-and-yaw
    free frame in which the tokenizers of HumanML3D's line are compared.
    """
    a, b = _pair(predicted, target)
    return float(1000 * np.linalg.norm(heading_frame(a) - heading_frame(b), axis=-1).mean())


def drift(predicted: np.ndarray, target: np.ndarray, fps: float, seconds: float = 10.0, align: bool = True) -> float:
    """Planar distance of the roots after a time, millimetres.

    |root_xz(predicted) - root_xz(target)| at frame round(seconds * fps) (definition of this project); NaN when the
    clip ends before. With `align`, both clips are moved to the same start first (`start_aligned`), so that only
    accumulated error counts.
    """
    a, b = _pair(predicted, target)
    frame = round(seconds * fps)
    if frame >= len(a):
        return float("nan")
    if align:
        a, b = start_aligned(a), start_aligned(b)
    return float(1000 * np.linalg.norm((a - b)[frame, 0, [0, 2]]))


def _pose_distance(predicted: np.ndarray, target: np.ndarray) -> np.ndarray:
    a, b = _pair(predicted, target)
    return np.linalg.norm((a - b).reshape(len(a), -1), axis=-1)


def ade(predicted: np.ndarray, target: np.ndarray) -> float:
    """Average displacement error, metres: mean over frames of the L2 norm of the 66-d joint vector's difference.

    For predicted (or in-between) frames alone. It is not a mean over joints: an error of d at all 22 joints
    counts as d * sqrt(22). Source: Yuan & Kitani 2020 (DLow), as MotionGPT (Jiang et al. 2023) uses it.
    """
    return float(_pose_distance(predicted, target).mean())


def fde(predicted: np.ndarray, target: np.ndarray) -> float:
    """Final displacement error, metres: `ade`'s norm at the last frame alone (same sources)."""
    return float(_pose_distance(predicted, target)[-1])


def _joints(joints: np.ndarray, min_frames: int) -> np.ndarray:
    x = np.asarray(joints, np.float64)
    if x.ndim != 3 or x.shape[1:] != (22, 3) or len(x) < min_frames:
        raise ValueError(f"joints {x.shape}; accepted (T, 22, 3) with T >= {min_frames}")
    return x


def _planar_speed(feet: np.ndarray, fps: float) -> np.ndarray:
    return np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1) * fps


def foot_skate(joints: np.ndarray, fps: float, height: float = 0.05, speed: float = 0.5, window: int = 5) -> float:
    """Share of frame steps in which a foot slides on the floor, 0..1.

    A step counts when either toe joint (10, 11) is below `height` in both its frames and moves faster than `speed` in
    the plane, both in this step and on the average over `window` steps (zeros beyond the ends). 0.5 m/s is 2.5 cm per
    frame at 20 fps. Source: Karunratanakul et al. 2023 (Guided Motion Diffusion), "foot skating ratio". The ankles
    are left out: they swing while the toes stand. Real clips score 0.05 to 0.075 there.
    """
    feet = _joints(joints, 2)[:, TOES]
    moved = _planar_speed(feet, fps)
    average = average_window(moved, window, "constant")
    low = feet[..., 1] < height
    sliding = low[1:] & low[:-1] & (moved > speed) & (average > speed)
    return float(sliding.any(1).mean())


def contact_slide(joints: np.ndarray, fps: float, height: float = 0.05) -> float:
    """Mean planar displacement of toe joints below `height` in both frames of a step, mm per frame at 20 fps.

    0 without contact. Source: the "slide" of physical motion scores (mean foot displacement in contact).
    """
    feet = _joints(joints, 2)[:, TOES]
    low = feet[..., 1] < height
    contact = low[1:] & low[:-1]
    return float(1000 / 20 * _planar_speed(feet, fps)[contact].mean()) if contact.any() else 0.0


def jerk(joints: np.ndarray, fps: float) -> np.ndarray:
    """Jerk of every frame: third finite difference, L1 norm over xyz, maximum over joints.

    (T - 3,), T >= 4; entry i spans frames i .. i + 3. Not divided by time: metres per frame^3 at 20 fps (other rates
    are scaled by (fps / 20)^3). Source: Barquero et al. 2024 (FlowMDM).
    """
    third = np.diff(_joints(joints, 4), n=3, axis=0)
    return np.abs(third).sum(-1).max(-1) * (fps / 20) ** 3


def acceleration(joints: np.ndarray, fps: float) -> np.ndarray:
    """Acceleration of the fastest joint in every frame but the first and the last, (T - 2,), T >= 3.

    Metres per frame^2 at 20 fps, as `jerk`; 0.0125 is 5 m/s^2.
    """
    second = np.diff(_joints(joints, 3), n=2, axis=0)
    return np.asarray(np.linalg.norm(second, axis=-1).max(-1) * (fps / 20) ** 2)


def seam_jerk(joints: np.ndarray, fps: float, seam: int, reach: int = 2) -> float:
    """Largest `jerk` about the seam between frames seam - 1 and seam.

    Looks at the third differences that span the seam or come within `reach` frames of it.

    Raises:
        ValueError: no frame on one side of the seam.
    """
    x = _joints(joints, 4)
    if not 0 < seam < len(x):
        raise ValueError(f"seam {seam}; accepted 1 .. {len(x) - 1}")
    values = jerk(x, fps)
    first = min(max(0, seam - 3 - reach), len(values) - 1)
    return float(values[first : seam + reach].max())


def transition_jerk(windows: list[np.ndarray], fps: float, real: float) -> tuple[float, float]:
    """Peak jerk PJ and area under the jerk AUJ over transition windows (FlowMDM: 60 frames at 20 fps).

    The mean over sequences is taken for each frame of the window; PJ is its maximum, AUJ the sum over frames of
    |mean jerk - real|. Source: Barquero et al. 2024 (FlowMDM).

    Args:
        windows: equally long clips (W, 22, 3) with the transition in the middle. real: mean `jerk` over real clips.
    """
    if not windows or len({len(w) for w in windows}) != 1:
        raise ValueError("transition_jerk: at least one window, all of the same length")
    mean = np.mean([jerk(w, fps) for w in windows], axis=0)
    return float(mean.max()), float(np.abs(mean - real).sum())


def peak_speeds(joints: np.ndarray, fps: float) -> dict[str, float]:
    """Largest speed of each wrist and ankle in the world, m/s, by joint name (first differences)."""
    speed = np.linalg.norm(np.diff(_joints(joints, 2), axis=0), axis=-1) * fps
    return {name: float(speed[:, j].max()) for name, j in EXTREMITIES.items()}


def kinematic_features(joints: np.ndarray, fps: float) -> np.ndarray:
    """(228,) statistics of a clip of T >= 3 frames, for distances between sets of clips (definition of this project).

    A Frechet distance on them is called *kinematic FID*. It is not HumanML3D's FID: it knows no text and no semantics,
    and compares only with other kinematic FIDs against the same real clips.

    In the heading frame (`heading_frame`):
    0:66 mean and 66:132 standard deviation of joint positions (m);
    132:154 mean and 154:176 standard deviation of joint speeds (m/s);
    176:198 mean and 198:220 standard deviation of the length of joint accelerations (m/s^2);
    and of the root in the world: 220 path length per second, 221 net displacement per second (m/s), 222 and 223 mean
    forward and leftward velocity (m/s), 224 mean and 225 standard deviation of yaw rate (rad/s), 226 mean height and
    227 standard deviation of vertical velocity (m, m/s).
    """
    x = _joints(joints, MIN_FRAMES)
    return _kinematic_features(x, heading_frame(x), fps)


def _kinematic_features(x: np.ndarray, local: np.ndarray, fps: float) -> np.ndarray:
    speed = np.linalg.norm(np.diff(local, axis=0), axis=-1) * fps
    acceleration = np.linalg.norm(np.diff(local, n=2, axis=0), axis=-1) * fps**2
    yaw, root = heading(x), x[:, 0]
    step = np.diff(root, axis=0) * fps
    forward = np.stack([np.sin(yaw[:-1]), np.cos(yaw[:-1])], -1)
    left = np.stack([np.cos(yaw[:-1]), -np.sin(yaw[:-1])], -1)
    planar, rate = step[:, [0, 2]], np.diff(yaw) * fps
    path = [
        np.linalg.norm(planar, axis=-1).mean(), np.linalg.norm(planar.mean(0)), (planar * forward).sum(-1).mean(),
        (planar * left).sum(-1).mean(), rate.mean(), rate.std(), root[:, 1].mean(), step[:, 1].std(),
    ]  # fmt: skip
    return np.concatenate([
        local.mean(0).ravel(), local.std(0).ravel(), speed.mean(0), speed.std(0), acceleration.mean(0),
        acceleration.std(0), path,
    ])  # fmt: skip


def motion_signature(joints: np.ndarray, fps: float = 20.0) -> np.ndarray:
    """(SIZE,) float32 description of a clip, the motion input of `avatargpt.lm.scorer`.

    0:228 `kinematic_features`; then, of the pelvis, head, wrists and ankles (6) in the heading frame: 228:282 mean and
    282:336 standard deviation of the positions in each third of the clip (m); 336:358 95th percentile of every joint's
    speed (m/s), 358:364 and 364:370 the largest speeds of the six in the heading frame and in the world; 370:388 the
    highest, lowest and mean height of the six over the floor (m); 388:412 their half-swings (x, y, z by 12 cm, y by
    35 cm; log of 1 + count) and 412:436 half-swings per second; 436 log of the seconds; from 437 on
    `attribute_measures`.
    """
    x = _joints(joints, 1)
    if len(x) < MIN_SIGNATURE_FRAMES:
        x = np.concatenate([x, np.repeat(x[-1:], MIN_SIGNATURE_FRAMES - len(x), 0)])
    local = heading_frame(x)
    thirds = np.array_split(local[:, KEY_JOINTS], 3)
    speed = np.linalg.norm(np.diff(local, axis=0), axis=-1) * fps
    world = np.linalg.norm(np.diff(x[:, KEY_JOINTS], axis=0), axis=-1) * fps
    floor = np.percentile(x[:, [7, 8, 10, 11], 1].min(1), 5)
    height = x[:, KEY_JOINTS, 1] - floor
    swing_kinds = ((0, MIN_SWING), (1, MIN_SWING), (2, MIN_SWING), (1, WIDE_SWING))
    counts = np.array([
        min(float(swings(height[:, k] if axis == 1 else local[:, joint, axis], size)), MAX_SWINGS)
        for k, joint in enumerate(KEY_JOINTS) for axis, size in swing_kinds
    ])  # fmt: skip
    seconds = len(x) / fps
    parts = [
        _kinematic_features(x, local, fps), *(t.mean(0).ravel() for t in thirds), *(t.std(0).ravel() for t in thirds),
        np.percentile(speed, 95, axis=0), speed[:, KEY_JOINTS].max(0), world.max(0), height.max(0), height.min(0),
        height.mean(0), np.log1p(counts), counts / seconds, [np.log(seconds)], attribute_measures(x, fps),
    ]  # fmt: skip
    return np.concatenate(parts).astype(np.float32)


def _soft(value: float, centres: tuple[float, ...]) -> np.ndarray:
    """(n,) weights of ascending centres that sum up to 1: of the two about the value, by its distance from each."""
    return np.array([np.interp(value, centres, row) for row in np.eye(len(centres))])


def attribute_measures(joints: np.ndarray, fps: float = 20.0) -> np.ndarray:
    """(ATTRIBUTE_SIZE,) measures that tell attributes (`instruct_data.attributes`) apart, of T >= 6 frames.

    In the order of the code: feet (heights, who stands, in thirds of the clip), travel, turn, rise, flights and steps,
    postures, heights at the beginning and the end, hands, stillness and quality, differences of left and right,
    half-swings relative to the range of a signal, and the posture that lasts longest but standing.
    """
    x = _joints(joints, MIN_SIGNATURE_FRAMES)
    if fps != BODY_FPS:
        at = np.linspace(0, len(x) - 1, max(MIN_SIGNATURE_FRAMES, round(len(x) * BODY_FPS / fps)))
        x = sample_frames(x, at)
    m = Measures(x)
    thirds = np.array_split(np.arange(len(x)), 3)
    left, right = m.contact.T
    standing = np.stack([left & ~right, right & ~left, left & right, ~left & ~right], 1)
    soles = m.feet - m.joints[..., 1].min(1)[:, None]
    yaw = m.yaw
    plane = average_window(m.joints[:, 0][:, [0, 2]], 5)
    facing = np.radians(yaw)
    step = np.diff(plane, axis=0, prepend=plane[:1])
    sine, cosine = np.sin(facing), np.cos(facing)
    way = np.stack([step[:, 0] * sine + step[:, 1] * cosine, step[:, 0] * cosine - step[:, 1] * sine], 1)
    travel, net = m.travel, way.sum(0)
    ground = m.level + x[:, [7, 8, 10, 11], 1].min(1) * (m.level == 0)
    flights = [b - a for a, b in m.flights]
    shares = np.array([m.postures.count(name) for name in POSTURES]) / len(m.postures)
    start, end, through = m.posture(1), m.posture(len(x) - 2), m.find_longest(POSTURES[1:])
    heights = m.joints[:, LEVELS, 1]
    local = heading_frame(m.joints)
    alone = [longest(standing[:, k]) for k in (0, 1)]
    parts = [
        *(soles[t].mean(0) for t in thirds), *(soles[t].max(0) for t in thirds), *(standing[t].mean(0) for t in thirds),
        alone, [np.tanh(2 * (alone[0] - alone[1]))],
        *(way[t].sum(0) for t in thirds), net, [travel["distance"], travel["path"]], net / (np.abs(net).sum() + 0.2),
        _soft(travel["distance"], DISTANCE_CENTRES),
        np.clip([yaw[t[-1]] - yaw[t[0]] for t in thirds], -400, 400) / 90, [np.clip(m.turn, -800, 800) / 90],
        _soft(m.turn, TURN_CENTRES),
        [m.rise, np.tanh(10 * m.rise), x[-1, 0, 1] - x[0, 0, 1]], [ground[t].mean() - ground[0] for t in thirds],
        [len(flights), np.log1p(len(flights)), max(flights, default=0) / BODY_FPS, sum(flights) / len(x)],
        [len(runs_of(c, 1)) for c in (left, right)],
        shares, [name == start for name in POSTURES], [name == end for name in POSTURES],
        heights[0], heights[-1], heights.min(0), heights.max(0),
        m.reaches, [np.log((m.reaches[0] + 0.03) / (m.reaches[1] + 0.03))],
        _soft(m.rest, REST_CENTRES), [m.speed, m.extent, m.floor, m.begins, m.sunk, m.skate, np.log1p(m.jerk)],
        _sides(local), _cycles(local, yaw), [name == through for name in POSTURES[1:]],
    ]  # fmt: skip
    return np.concatenate(parts).astype(np.float64)


def _sides(local: np.ndarray) -> np.ndarray:
    """(36,) how much more the left of each of `PAIRS` does than the right: way, range, and highest, most forward, most
    outward place.
    """
    rows = []
    for a, b in PAIRS:
        one, two = local[:, a], local[:, b] * [-1, 1, 1]
        paths = [float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum()) for p in (one, two)]
        ranges = [float(np.linalg.norm(np.ptp(p, axis=0))) for p in (one, two)]
        ratio = np.log((ranges[0] + 0.05) / (ranges[1] + 0.05))
        path = np.log((paths[0] + 0.1) / (paths[1] + 0.1))
        rows.append([path, ratio, *(one.max(0) - two.max(0)), ranges[0] - ranges[1]])
    return np.concatenate(rows)


def _cycles(local: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """(84,) half-swings of heights, of hands and feet, of the yaw and of the principal components of the poses, and of
    quick movements.
    """
    components = _components(local - local.mean(0))
    hands = np.linalg.norm(local[:, 20] - local[:, 21], axis=-1)
    signals = [
        *local[:, LEVELS, 1].T, *local[:, (15, 20, 21, 7, 8), 2].T, *local[:, (15, 20, 21), 0].T, hands,
        local[:, (16, 17), 1].mean(1) - local[:, 0, 1], *components.T,
    ]  # fmt: skip
    counts = [swings(s, max(MIN_SMALL_SWING, SWING_SHARE * float(np.ptp(s)))) for s in signals]
    counts.append(swings(yaw, max(MIN_TURN_SWING, SWING_SHARE * float(np.ptp(yaw)))))
    fast = local - average_window(local, QUICK_FRAMES)
    quick = [*_components(fast).T, *fast[:, (15, 20, 21, 7, 8), 1].T, *fast[:, (15, 20, 21), 2].T]
    quick_counts = [swings(s, max(MIN_QUICK_SWING, QUICK_SWING * float(s.std()))) for s in quick]
    limited, quick_limited = np.minimum(counts, MAX_SWINGS), np.minimum(quick_counts, MAX_SWINGS)
    return np.concatenate([
        np.log1p(limited), limited / 2, np.log1p(quick_limited), quick_limited / 2,
        _soft(limited[-1 - COMPONENTS] / 2, COUNT_CENTRES), _soft(quick_limited[0] / 2, COUNT_CENTRES),
    ])  # fmt: skip


def _components(poses: np.ndarray) -> np.ndarray:
    """(T, COMPONENTS) principal components of (T, J, 3) without mean."""
    x = poses.reshape(len(poses), -1)
    return np.asarray(x @ np.linalg.eigh(x.T @ x)[1][:, : -COMPONENTS - 1 : -1])
