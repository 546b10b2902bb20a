"""``/v1/motions``, ``/v1/describe``, ``/v1/plans``: words to motion, motion to words, scenes to steps."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from avatargpt.server import answers, services
from avatargpt.server.core import AnyServer
from avatargpt.server.jobs import post

router = APIRouter(prefix="/v1", tags=["motion"])
EXAMPLES = {
    "words": {"value": {"prompt": "a person walks forward and waves", "seconds": 4, "seed": 1}},
    "typed": {"value": {"request": {"clauses": [{"action": "walk", "times": 4}, {"action": "wave hand",
                                                                                 "side": "left"}]}}},
    "with a face": {"value": {"prompt": "a person waves and smiles", "modalities": "body,face"}},
}  # fmt: skip

post(router, "/motions", "Make motion", services.generate, openapi_examples=EXAMPLES)
post(router, "/extend", "Go on from a motion", services.extend,
     examples=[{"motion": "ID", "text": "a person sits down", "seconds": 3}])  # fmt: skip
post(router, "/inbetween", "Join two motions", services.in_between,
     examples=[{"start": "ID", "end": "ID", "seconds": 1.5}])  # fmt: skip
post(router, "/edit", "Change a motion by words", services.edit, examples=[{"motion": "ID", "text": "slower"}])


@router.get("/motions/{id}", summary="A motion that was made before", response_model=answers.Motion)
async def get_motion(server: AnyServer, id: answers.PathId) -> Any:
    """What is known of it, and the links of its files."""
    return server.store.motion_json(server.store.motion(id))


post(router, "/describe", "Motion to words", services.describe, answers.Descriptions, examples=[{"motion": "ID"}])
post(router, "/tasks", "A task of the model by its name", services.run_task, answers.TaskAnswers,
     examples=[{"task": "motion_to_text", "slots": {"motion": "ID"}, "num": 2}])  # fmt: skip
post(router, "/reconstruct", "A motion through its tokens and back", services.reconstruct, answers.Reconstructed,
     examples=[{"motion": "ID"}])  # fmt: skip
post(router, "/read", "What a text asks for", services.read, answers.Reading,
     examples=[{"text": "walk, then wave twice"}])  # fmt: skip
post(router, "/actions", "The library of moves", services.actions, answers.Actions,
     examples=[{"query": "open a door", "count": 5}])  # fmt: skip
post(router, "/plans", "A scene to activities and steps", services.plan, answers.Plan,
     examples=[{"scene": "a man makes breakfast", "seconds": 60}])  # fmt: skip
