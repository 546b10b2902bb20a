"""``/v1/motions``, ``/v1/describe``, ``/v1/plans``: words to motion, motion to words, scenes to steps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import JSONResponse

from avatargpt.server import services
from avatargpt.server.core import AnyServer
from avatargpt.server.jobs import answer

router = APIRouter(prefix="/v1", tags=["motion"])
Wait = Annotated[float, Query(description="Seconds to wait for the answer; 0 = the job at once.", ge=0)]
EXAMPLES = {
    "words": {"value": {"prompt": "a person walks forward and waves", "seconds": 4, "seed": 1}},
    "typed": {"value": {"request": {"clauses": [{"action": "walk", "times": 4}, {"action": "wave hand",
                                                                                 "side": "left"}]}}},
    "extend": {"value": {"operation": "extend", "source": "ID", "text": "a person sits down", "seconds": 3}},
    "inbetween": {"value": {"operation": "inbetween", "source": "ID", "target": "ID", "seconds": 1.5}},
    "edit": {"value": {"operation": "edit", "source": "ID", "text": "slower"}},
}  # fmt: skip


@router.post("/motions", summary="Make, extend, join or edit motion")
async def motions(
    request: Request, server: AnyServer,
    body: Annotated[services.MotionBody, Body(openapi_examples=EXAMPLES)],
    wait: Wait = 60,
) -> JSONResponse:  # fmt: skip
    """200 with the motions, or 202 with a job where it takes longer than `wait`."""
    return await answer(request, server, services.motions(server, body), wait)


@router.get("/motions/{id}", summary="A motion that was made before")
async def motion(server: AnyServer, id: str) -> JSONResponse:
    """What is known of it, and the links of its files."""
    return JSONResponse(server.store.motion_json(server.store.motion(id)))


@router.post("/describe", summary="Motion to words")
async def describe(
    request: Request, server: AnyServer,
    body: Annotated[services.DescribeBody, Body(examples=[{"motion": "ID"}])], wait: Wait = 60,
) -> JSONResponse:  # fmt: skip
    """Sentences about a motion of the store."""
    return await answer(request, server, services.describe(server, body), wait)


@router.post("/plans", summary="A scene to activities and steps")
async def plans(
    request: Request, server: AnyServer,
    body: Annotated[services.PlanBody, Body(examples=[{"scene": "a man makes breakfast", "seconds": 60}])],
    wait: Wait = 60,
) -> JSONResponse:  # fmt: skip
    """The plan alone; a session makes its motion (`plan: SCENE`)."""
    return await answer(request, server, services.plans(server, body), wait)
