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

from avatargpt import AvatarGPT, resources  # noqa: E402
from avatargpt.server.app import create_app  # noqa: E402
from avatargpt.server.settings import ServerSettings  # noqa: E402

pytestmark = pytest.mark.skipif(not (resources.PACKAGE / "weights" / "config.json").is_file(), reason="no weights")
CASES = int(os.environ.get("AVATARGPT_CASES", "5"))
ENDLESS = "/events"


@pytest.fixture(autouse=True)
def _subnormal_numbers() -> None:
    """A training in this process may flush subnormal numbers to zero, which hypothesis refuses."""
    torch.set_flush_denormal(False)


def test_routes_answer_whatever_is_sent(tmp_path: Path) -> None:
    bounds = {"work_seconds": 20.0, "body_seconds": 5.0, "motion_seconds": 4.0, "film_seconds": 2.0}
    app = create_app(ServerSettings(store=tmp_path, **bounds), AvatarGPT.from_pretrained())  # type: ignore[arg-type]
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    statuses: Counter[int] = Counter()
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 20
    for operation in operations:
        if operation.path.endswith(ENDLESS):
            continue

        @settings(max_examples=CASES, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(case=operation.as_strategy())
        def attempt(case: Any) -> None:
            response = case.call(timeout=600)
            statuses[response.status_code] += 1
            assert response.status_code < 500 or response.status_code in (501, 503), (case, response.content[:300])
            if response.status_code >= 400 and response.content:
                error = json.loads(response.content)["error"]
                assert error["code"] and error["message"] and "\n" not in error["message"], error

        attempt()
    print(dict(sorted(statuses.items())), sum(statuses.values()), "cases of", len(operations), "routes")
    assert {200, 400, 404} <= statuses.keys()
