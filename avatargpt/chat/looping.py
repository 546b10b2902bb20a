"""Long motion within a conversation: the closed loop's chunks put together, up to half an hour."""

from __future__ import annotations

from avatargpt.chat.scene import Scene
from avatargpt.chat.timeline import FPS
from avatargpt.planning.types import Activity
from vqvae.motion import Motion, concatenate

RADIUS = 8.0  # metres around the start


def long_motion(scene: Scene, about: str, seconds: float) -> Motion:
    """What `avatargpt.long.loop.long` makes of a scene; a plan that was made for it is acted out first.

    Raises:
        UserError: the planner's own mistakes.
    """
    from avatargpt.long.loop import long

    plan = scene.state.plan
    first: tuple[Activity, ...] = plan.activities if plan is not None and plan.scene == about else ()
    pieces: list[Motion] = []
    for chunk in long(scene.model, about, seconds, scene.planner(), scene.seed, RADIUS, first):
        pieces.append(chunk.motion)
        if scene.progress:
            scene.progress(min(chunk.start + len(chunk.motion), round(seconds * FPS)), round(seconds * FPS))
    return concatenate(pieces)
