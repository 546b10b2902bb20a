"""`Api`: an application whose OpenAPI document is its contract: every error of every operation, keys, events."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from avatargpt.server import answers
from avatargpt.server.errors import CODES
from avatargpt.server.gate import COOKIE, SAFE_METHODS

ALWAYS, OF_IDS, OF_BODIES, OF_WORK = {400, 401, 403, 500, 503}, {404}, {408, 413}, {404, 409}
OF_ASKING = {429}  # a full queue, or a key's limit
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}
SCHEMAS = "#/components/schemas/"


class Api(FastAPI):
    """An application; `has_key`: whether its server has one."""

    has_key = False

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            kept = {k: v for k, v in document["components"]["schemas"].items() if "ValidationError" not in k}
            streamed: Any = [(name, "serialization", TypeAdapter(shape)) for name, shape in answers.STREAMED.items()]
            shapes = TypeAdapter.json_schemas(streamed, ref_template=f"{SCHEMAS}{{model}}")[1]["$defs"]
            refusals = {word: _refusal(word) for word in CODES.values()}
            document["components"] = {"schemas": kept | shapes, "responses": refusals, "securitySchemes": KEYS}
            document["security"] = [{name: []} for name in KEYS] + ([] if self.has_key else [{}])
            for path, methods in document["paths"].items():
                for method, operation in methods.items():
                    _name_errors(path, method, operation)
            document["paths"]["/healthz"]["get"]["security"] = []
        assert self.openapi_schema is not None
        return self.openapi_schema


def _refusal(word: str) -> dict[str, Any]:
    example = {"error": {"code": word, "message": "what was wrong; accepted: what is", "where": ""}}
    content = {"application/json": {"schema": {"$ref": f"{SCHEMAS}Failure"}, "example": example}}
    return {"description": word, "content": content}


def _name_errors(path: str, method: str, operation: dict[str, Any]) -> None:
    """The errors that a route may answer with: those of all, of its kind, and those that it names itself."""
    rows = operation["responses"]
    rows.pop("422", None)
    statuses = ALWAYS | (OF_IDS if "{" in path else set()) | (OF_WORK if "202" in rows else set())
    statuses |= OF_BODIES if "requestBody" in operation else set()
    statuses |= set() if method.upper() in SAFE_METHODS else OF_ASKING
    for status in statuses | {int(n) for n in rows if n >= "400"}:
        if "content" not in rows.get(f"{status}", {}):
            rows[f"{status}"] = {"$ref": f"#/components/responses/{CODES[status]}"}
    operation["responses"] = dict(sorted(rows.items()))
