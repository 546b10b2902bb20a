"""The contract: every operation is typed, and what is written from it is that of today's code."""

from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from fastapi.testclient import TestClient

from tests.server.contracts import ROOT, contract


@pytest.fixture(scope="module")
def written() -> dict[str, str]:
    return contract.write_all()


@pytest.mark.parametrize("name", [contract.DOCUMENT, contract.STUBS, contract.MESSAGES, contract.API, contract.TYPES])
def test_files_of_the_contract_are_current(written: dict[str, str], name: str) -> None:
    if name not in written:
        pytest.skip("needs openapi-typescript: npm --prefix web install")
    assert (ROOT / name).read_text(encoding="utf-8") == written[name], "run python scripts/contract.py"


def test_every_operation_is_typed_and_has_its_errors(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operations = [row for methods in document["paths"].values() for row in methods.values()]
    assert len({row["operationId"] for row in operations}) == len(operations) >= 41
    for row in operations:
        good = [answer for status, answer in row["responses"].items() if status in ("200", "201", "202")]
        assert good and all(kind["schema"] for answer in good for kind in answer["content"].values()), row
        assert {"400", "401", "403", "500", "503"} <= row["responses"].keys() and "422" not in row["responses"], row
        body = row.get("requestBody", {}).get("content", {}).get("application/json", {})
        assert not body or "examples" in body or "examples" in body["schema"] or "anyOf" in body["schema"], row
    refused = document["components"]["responses"]["not_found"]["content"]["application/json"]
    assert refused["schema"]["$ref"].endswith("/Failure")
    assert document["components"]["schemas"]["Error"]["required"] == ["code", "message", "where"]
    text = str(document)
    assert "'ge':" not in text and "'le':" not in text, "bounds that no reader of JSON schema knows"


def test_a_server_with_a_key_says_how_it_is_sent(serve: Any) -> None:
    key = {"X-API-Key": "correct-horse"}
    document = serve(api_key=key["X-API-Key"]).get("/openapi.json", headers=key).json()
    assert {} not in document["security"] and {} in serve().get("/openapi.json").json()["security"]
    for name, row in document["components"]["securitySchemes"].items():
        value = {"bearer": {"Authorization": "Bearer correct-horse"}, "header": key,
                 "cookie": {"Cookie": f"{row.get('name')}=correct-horse"}}[name]  # fmt: skip
        assert serve(api_key="correct-horse").get("/v1/models", headers=value).status_code == 200, name
