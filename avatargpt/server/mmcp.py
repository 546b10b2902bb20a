"""MMCP: ``/capabilities`` and ``/generate`` of the Motion Model Context Protocol, for Blender, Godot and Maya."""
# Only what holds is declared: text, places of the root, targets of hands and feet, poses. Keys hold in their frame at
# the rate of the request (`avatargpt.body.keys`); the motion is made at 20 frames a second.

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from fastapi import APIRouter, FastAPI
from motionmcp.backbone import Backbone, Limits, ModelSpec, MotionResult
from motionmcp.errors import ProtocolError
from motionmcp.schemas import (
    EffectorTargetConstraint,
    GenerateRequest,
    Joint,
    PoseKeyframeConstraint,
    RootPathConstraint,
    Skeleton,
    TextSegment,
)
from motionmcp.server import build_app
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from avatargpt.body.keys import EASE, apply_keys
from avatargpt.options import MIN_SECONDS, GenerationConfig
from avatargpt.requests.clause_spec import goes
from avatargpt.server.core import Server
from avatargpt.server.errors import refusal_of
from avatargpt.server.services import check_length
from avatargpt.server.worker import Report
from instruct_data.requests.spec import Clause, MotionRequest, Pin, Place, PoseKey
from vqvae import rotations as rot
from vqvae.contact import standing
from vqvae.motion import Motion
from vqvae.skeleton import SMPL22, TOES

MODEL = "avatargpt"
FPS = 20.0  # of the network
EFFECTORS = {"l_wrist": "left_hand", "r_wrist": "right_hand", "l_ankle": "left_foot", "r_ankle": "right_foot"}
PELVIS = SMPL22.names[0]
MAX_SAMPLES, MAX_CONSTRAINTS, MAX_PROMPT = 8, 512, 600
NEAR = 0.5  # metres between places that lead the way; nearer ones only hold in their frame
CODES = {401: "unauthorized", 403: "forbidden", 413: "payload_too_large", 429: "rate_limited",
         503: "model_unavailable", 500: "internal_error"}  # fmt: skip
IGNORED = ("diffusion_steps", "post_processing", "transition_frames")  # options of diffusion models


def skeleton() -> Skeleton:
    """The 22 joints in T-pose; joints of a request are those, in that order."""
    rows = zip(SMPL22.names, SMPL22.parents, SMPL22.offsets.tolist(), strict=True)
    return Skeleton(joints=[
        Joint(name=name, parent=None if parent < 0 else SMPL22.names[parent], rest_translation=tuple(offset),
              rest_rotation=(0.0, 0.0, 0.0, 1.0)) for name, parent, offset in rows
    ])  # fmt: skip


@dataclass
class Keys:
    """The constraints of a request as keys of a motion that begins at the origin facing +Z.

    Attributes:
        yaw, start: of the motion's first frame in the request's world, radians and (2,) metres.
    """

    yaw: float = 0.0
    start: np.ndarray = field(default_factory=lambda: np.zeros(2))
    places: list[Place] = field(default_factory=list)
    poses: list[PoseKey] = field(default_factory=list)
    pins: list[Pin] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def keys_of(request: GenerateRequest, fps: float) -> Keys:
    """The keys of a request. Raises ProtocolError for an effector that is none of hands and feet."""
    out = Keys()
    world: dict[int, tuple[np.ndarray, float | None]] = {}  # frame -> place, heading
    for row in request.constraints:
        if isinstance(row, RootPathConstraint):
            headings: Sequence[float | None] = row.heading_radians or [None] * len(row.frames)
            for frame, place, heading in zip(row.frames, row.positions_xz, headings, strict=True):
                world[frame] = np.array(place, float), heading
        elif isinstance(row, PoseKeyframeConstraint) and row.root_position is not None:
            yaw = None
            if (turned := row.joint_rotations.get(PELVIS)) is not None:
                forward = rot.rotate(rot.normalize(_wxyz(turned)), np.array([0.0, 0, 1]))
                yaw = float(np.arctan2(forward[0], forward[2]))
            world[row.frame] = np.array([row.root_position[0], row.root_position[2]], float), yaw
    frames = sorted(world)
    if frames:
        first, heading = world[frames[0]]
        if frames[0] <= EASE * fps:  # else it begins at the origin and comes there
            out.start = first
        ways = [world[f][0] - out.start for f in frames]
        ahead = next((w for w in ways if np.linalg.norm(w) >= NEAR), None)
        if heading is not None and frames[0] <= EASE * fps:
            out.yaw = float(heading)
        elif ahead is not None:
            out.yaw = float(np.arctan2(ahead[0], ahead[1]))
    back = rot.about_y(-out.yaw)

    def local(point: np.ndarray) -> np.ndarray:
        return rot.rotate(back, np.asarray(point, float) - np.array([out.start[0], 0.0, out.start[1]]))

    for frame in frames:
        place, heading = world[frame]
        x, _, z = local(np.array([place[0], 0.0, place[1]]))
        facing = None if heading is None else float(np.degrees(heading - out.yaw))
        out.places.append(Place(second=frame / fps, place=(float(x), float(z)), heading=facing))
    for row in request.constraints:
        if isinstance(row, EffectorTargetConstraint):
            _add_pins(out, row, fps, local)
        elif isinstance(row, PoseKeyframeConstraint):
            out.poses.append(_pose(row, fps, back))
    return out


def _add_pins(out: Keys, row: EffectorTargetConstraint, fps: float, local: Any) -> None:
    if row.joint not in EFFECTORS:
        text = f"effector_target of {row.joint}; accepted joints: {', '.join(EFFECTORS)}"
        raise ProtocolError("unsupported_constraint", text, {"joints": list(EFFECTORS)})
    if row.rotations is not None:
        out.notes.append(f"effector_target of {row.joint}: its rotations are not kept, a pose_keyframe would")
    for frame, position in zip(row.frames, row.positions, strict=True):
        x, y, z = (float(v) for v in local(np.array(position)))
        out.pins.append(Pin(limb=EFFECTORS[row.joint], second=frame / fps, place=(x, y, z)))  # type: ignore[arg-type]


def _pose(row: PoseKeyframeConstraint, fps: float, back: np.ndarray) -> PoseKey:
    given = {name: rot.normalize(_wxyz(q)) for name, q in row.joint_rotations.items()}
    if row.fill_mode == "rest":
        given = {name: rot.identity(()) for name in SMPL22.names[1:]} | given
    if PELVIS in given:
        given[PELVIS] = rot.multiply(back, given[PELVIS])
    height = None if row.root_position is None else float(row.root_position[1])
    rotations = {name: tuple(q.tolist()) for name, q in given.items()}
    return PoseKey(second=row.frame / fps, rotations=rotations, height=height)


def _wxyz(quaternion: Sequence[float]) -> np.ndarray:
    return np.roll(np.asarray(quaternion, float), 1)


class MotionBackbone(Backbone):
    """The model of a server behind the protocol."""

    model_id = MODEL

    def __init__(self, server: Server) -> None:
        self.server = server

    def capabilities(self) -> ModelSpec:
        """What holds."""
        settings = self.server.settings
        return ModelSpec(
            id=MODEL, fps=FPS, canonical_skeleton=skeleton(),
            supported_constraints=["root_path", "effector_target", "pose_keyframe"],
            supported_segments=["text", "unconditioned"], supported_guidance_types=["nocfg", "regular"],
            predicted_contact_joints=[SMPL22.names[j] for j in TOES],
            recommended_max_duration_seconds=min(60.0, settings.motion_seconds),
            limits=Limits(
                max_duration_seconds=settings.motion_seconds, max_num_samples=MAX_SAMPLES,
                max_constraints_per_request=MAX_CONSTRAINTS, max_prompt_length=MAX_PROMPT,
                max_request_bytes=settings.json_bytes, max_batch_size=8,
            ),
        )  # fmt: skip

    async def generate(self, request: GenerateRequest) -> MotionResult:
        """Motion of a validated request, on the model's thread."""
        try:
            return await self.server.wait_for("generate", self._work(request))
        except ProtocolError:
            raise
        except Exception as e:
            refusal = refusal_of(e, self.server.store.private)
            details = {"retry_after": int(refusal.headers["Retry-After"])} if "Retry-After" in refusal.headers else {}
            raise ProtocolError(CODES.get(refusal.status, "invalid_request"), refusal.message, details) from None

    def _work(self, request: GenerateRequest) -> Any:
        fps = request.fps(FPS)
        options, frames = request.options, request.total_frames
        seconds, keys = frames / fps, keys_of(request, fps)
        count = 1 if options is None else options.num_samples
        check_length(self.server, seconds * count, "segments")
        seed = _seed(request)
        guidance = GenerationConfig.guidance
        if options is not None and options.guidance is not None:
            guidance = options.guidance.weight[0] if options.guidance.weight else 1.0
        config = GenerationConfig(seed=seed, guidance=guidance, num=count)

        def work(report: Report) -> MotionResult:
            report(0, 1)
            model = self.server.model
            typed = type_request(model, request, keys, fps)
            motions = model.generate(
                [typed], seconds=max(seconds, MIN_SECONDS), seed=config.seed, guidance=config.guidance, num=count,
                progress=report,
            )  # fmt: skip
            self.server.metrics.motion.labels("body").inc(seconds * count)
            return result_of(motions, keys, request, fps, frames)

        return work


def _seed(request: GenerateRequest) -> int:
    """The seed of a request: that of its options, of its first segment, or a random one."""
    seeds = [s.seed for s in request.segments if getattr(s, "seed", None) is not None]
    if request.options is not None and request.options.seed is not None:
        seeds.append(request.options.seed)
    return int(seeds[0]) % 2**32 if seeds else int(np.random.default_rng().integers(2**32))


def type_request(model: Any, request: GenerateRequest, keys: Keys, fps: float) -> MotionRequest:
    """The segments of a request as clauses with their lengths, one way through its places, and its places."""
    clauses: list[Clause] = []
    travels = any(np.linalg.norm(p.place) >= NEAR for p in keys.places)
    for segment in request.segments:
        seconds = segment.duration_frames / fps
        if isinstance(segment, TextSegment):
            (resolved,) = model.resolve([segment.prompt], [None])
            parts = list(resolved.typed.clauses) if resolved.typed else [Clause(action=segment.prompt)]
        else:
            parts = [Clause(action="walk forward") if travels and not clauses else Clause(action="stand still")]
        steps = max(1, sum(not c.together and not c.denied for c in parts))
        parts = [c.model_copy(update={"seconds": seconds / steps}) if not c.denied else c for c in parts]
        clauses += parts
    if len([c for c in clauses if not c.denied]) == 1 and goes(clauses[0].action):
        way: list[tuple[float, float]] = []
        for place in keys.places:
            if np.linalg.norm(np.array(place.place) - np.array(way[-1] if way else (0.0, 0.0))) >= NEAR:
                way.append(place.place)
        clauses[0] = clauses[0].model_copy(update={"waypoints": way[:100], "path": None, "distance": None})
    text = "; ".join(s.prompt for s in request.segments if isinstance(s, TextSegment))
    return MotionRequest(clauses=clauses, places=keys.places, text=text)


def result_of(motions: Sequence[Motion], keys: Keys, request: GenerateRequest, fps: float, frames: int) -> MotionResult:
    """Motions at 20 frames a second as the protocol has them: keys in their frames, placed in the request's world."""
    rotations, roots, notes = [], [], list(keys.notes)
    contacts: dict[str, list[np.ndarray]] = {SMPL22.names[j]: [] for j in TOES}
    for motion in motions:
        notes += motion.notes
        at = np.minimum(np.arange(frames) * (FPS / fps), len(motion) - 1)
        on = standing(motion.joints)
        for side, name in enumerate(contacts):
            contacts[name].append(on[np.round(at).astype(int), side])
        sampled = replace(motion.sampled(at), fps=fps)
        sampled, missed = apply_keys(sampled, keys.places, keys.poses, keys.pins)
        notes += missed
        placed = sampled.moved(keys.yaw, np.array([keys.start[0], 0.0, keys.start[1]]))
        rotations.append(np.roll(placed.rotations, -1, -1))
        roots.append(placed.root)
    if request.options is not None:
        notes += [f"{name}: has no effect here" for name in IGNORED if name in request.options.model_fields_set]
    return MotionResult(
        rotations=np.stack(rotations).astype(np.float32), root_translations=np.stack(roots).astype(np.float32),
        foot_contacts={name: np.stack(rows) for name, rows in contacts.items()},
        notes=[{"code": "note", "severity": "info", "message": line} for line in dict.fromkeys(notes)],
    )  # fmt: skip


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Makes the protocol's application for that of a server."""
    app.state.mmcp = build_app(MotionBackbone(app.state.server), title="AvatarGPT over MMCP")
    yield


class _MmcpEndpoint:
    """Hands a request on to the protocol's application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_once(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (429, 503):
                MutableHeaders(scope=message).setdefault("Retry-After", "5")
            await send(message)

        await scope["app"].state.mmcp(scope, receive, send_once)


router = APIRouter(lifespan=lifespan)
for path in ("/capabilities", "/generate"):
    router.add_route(path, _MmcpEndpoint(), include_in_schema=False)  # type: ignore[arg-type]
