"""The specification of the API tried by schemathesis: no defect, and every answer is one that it names.

AVATARGPT_CASES=100 python -m pytest tests/server/test_schema.py      # examples of each route; 5 without it
"""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("fastapi", reason="needs the extra serve")
schemathesis = pytest.importorskip("schemathesis", reason="needs the extra dev")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient  # noqa: E402

from avatargpt import AvatarGPT, resources  # noqa: E402
from avatargpt.server.app import create_app  # noqa: E402
from avatargpt.server.settings import ServerSettings  # noqa: E402

pytestmark = pytest.mark.skipif(not (resources.PACKAGE / "weights" / "config.json").is_file(), reason="no weights")
CASES = int(os.environ.get("AVATARGPT_CASES", "5"))
ENDLESS = "/events"
FORMS = ("glb", "bvh", "npz", "frames", "csv", "png", "doc")
CONFORM = [content_type_conformance, response_schema_conformance, status_code_conformance]
THERE = (True, True, True, False)  # whether ids are those of the server: mostly
WAVE = {"prompt": "a person waves", "seconds": 1}


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> None:
    """A training in this process may flush subnormal numbers to zero, which hypothesis refuses."""
    torch.set_flush_denormal(False)


class Known:
    """Ids of what a server holds, put in place of drawn ones, which it could but refuse."""

    def __init__(self, client: Any) -> None:
        motion = client.post("/v1/motions", json=WAVE).json()["motions"][0]
        file = client.get(motion["links"]["bvh"]).content
        self.motion, self.forms = motion["id"], motion["links"]
        self.upload = client.post("/v1/uploads?name=wave.bvh", content=file).json()["id"]
        self.session = client.post("/v1/sessions").json()["id"]
        client.post(f"/v1/sessions/{self.session}/turns", json={"acts": ["make: a person waves"]})
        self.job = client.post("/v1/motions?wait=0", json=WAVE).json()["job"]["id"]

    def put(self, case: Any, form: str) -> None:
        """Put them into a case: where its path has an id, and where its body names motions or files."""
        kinds = {"motions": self.motion, "uploads": self.upload, "sessions": self.session, "jobs": self.job}
        kind = case.operation.path.split("/")[2] if case.operation.path.count("/") > 1 else ""
        if "id" in case.path_parameters and kind in kinds:
            case.path_parameters["id"] = kinds[kind]
        elif kind == "exports":
            case.path_parameters["name"] = f"{self.motion}.{form}"
        if "form" in case.path_parameters:
            case.path_parameters["form"] = form
        if isinstance(case.body, dict):
            named = {"motion": self.motion, "source": self.motion, "after": self.motion, "target": self.motion,
                     "sound": self.upload, "film": self.upload}  # fmt: skip
            case.body.update({key: value for key, value in named.items() if key in case.body})


def test_routes_answer_whatever_is_sent(tmp_path: Path) -> None:
    bounds = {"work_seconds": 20.0, "body_seconds": 5.0, "motion_seconds": 4.0, "film_seconds": 2.0}
    app = create_app(ServerSettings(store=tmp_path, **bounds), AvatarGPT.from_pretrained())  # type: ignore[arg-type]
    with TestClient(app, base_url="http://localhost") as client:
        attempt_all(app, Known(client))


def untyped(document: dict[str, Any]) -> list[str]:
    """Routes of which the specification does not say what they answer with, well or badly."""
    out = []
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            rows = route["responses"]
            good = next(row for status, row in rows.items() if status in ("200", "201"))
            typed = good.get("content") and all(c.get("schema") for c in good["content"].values())
            if not typed or "default" in rows or not {"400", "401", "403", "500", "503"} <= rows.keys():
                out.append(f"{method} {path}")
    return out


def attempt_all(app: Any, known: Known) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    statuses: Counter[int] = Counter()
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 20 and not untyped(app.openapi())
    for operation in operations:
        if operation.path.endswith(ENDLESS):
            continue
        cases = operation.as_strategy()
        if operation.body or operation.query:  # else nothing can be wrong but ids
            cases |= operation.as_strategy(GenerationMode.NEGATIVE)

        @settings(max_examples=CASES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=cases, there=st.sampled_from(THERE), form=st.sampled_from(FORMS))
        def attempt(case: Any, there: bool, form: str) -> None:
            if there:
                known.put(case, form)
            response = case.call(timeout=600)
            statuses[response.status_code] += 1
            case.validate_response(response, checks=CONFORM)
            assert response.status_code < 500 or response.status_code in (501, 503), (case, response.content[:300])
            if response.status_code >= 400 and response.content:
                error = json.loads(response.content)["error"]
                assert error["code"] and error["message"] and "\n" not in error["message"], error

        attempt()
    print(dict(sorted(statuses.items())), sum(statuses.values()), "cases of", len(operations), "routes")
    assert {200, 400, 404} <= statuses.keys()
