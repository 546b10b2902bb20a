"""Errors of the server: one JSON shape, ``{"error": {"code", "message", "where"}}``, and the status of each kind."""

from __future__ import annotations

import logging
import secrets
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vqvae.errors import OutOfTime, UserError, one_line, out_of_memory

CODES = {
    400: "bad_request", 401: "unauthorized", 403: "forbidden", 404: "not_found", 405: "method_not_allowed",
    408: "timeout", 409: "cancelled", 413: "too_large", 415: "unsupported_type", 429: "busy", 500: "internal",
    501: "not_installed", 503: "unavailable",
}  # fmt: skip
MAX_MESSAGE = 500  # characters
log = logging.getLogger("avatargpt.server")


class Refusal(Exception):
    """A request that is refused, with its HTTP status.

    Attributes:
        status: HTTP status. message: one line: what was wrong, what is accepted. where: the field, or empty.
        code: a word for programs; by default that of the status.
    """

    def __init__(
        self, status: int, message: str, where: str = "", code: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.where = status, message, where
        self.code, self.headers = code or CODES.get(status, "error"), dict(headers or {})

    def __reduce__(self) -> tuple[Any, ...]:
        return Refusal, (self.status, self.message, self.where, self.code, self.headers)

    def response(self) -> JSONResponse:
        """As it goes out."""
        return JSONResponse(body(self.code, self.message, self.where), self.status, self.headers)


def body(code: str, message: str, where: str = "") -> dict[str, Any]:
    """The JSON of an error."""
    return {"error": {"code": code, "message": one_line(message)[:MAX_MESSAGE], "where": where}}


def bad(message: str, where: str = "") -> Refusal:
    """A request with a mistake in it."""
    return Refusal(400, message, where)


def unknown(what: str, where: str = "id") -> Refusal:
    """Nothing has that id, or not any more."""
    return Refusal(404, f"no such {what}; it may have expired", where)


def busy(message: str, seconds: float) -> Refusal:
    """Too much is going on; the client may come back after so many seconds."""
    return Refusal(429, message, headers={"Retry-After": str(max(1, round(seconds)))})


def refuse_stopping() -> Refusal:
    """The server ends."""
    return Refusal(503, "the server is stopping; try again in a moment", code="stopping", headers={"Retry-After": "5"})


def refusal_of(error: BaseException, folders: tuple[Path, ...] = ()) -> Refusal:
    """Any exception as a refusal; `folders`: paths that clients are not told."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, RequestValidationError):
        return of_validation(error)
    if isinstance(error, OutOfTime):
        return Refusal(503, str(error), code="too_long")
    if isinstance(error, UserError):
        return bad(without(str(error), folders))
    if out_of_memory(error):
        return Refusal(503, "too much for the memory of this server; shorter motions need less", code="out_of_memory")
    if isinstance(error, HTTPException):
        return Refusal(error.status_code, str(error.detail), headers=error.headers)
    number = secrets.token_hex(4)
    places = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
    # an exception's own words may quote what a client sent
    log.error("defect", extra={"number": number, "type": type(error).__name__, "places": places[-6:]})
    return Refusal(500, f"a defect of the server; its log names it {number}")


def without(message: str, folders: tuple[Path, ...]) -> str:
    """A message with files called by their names alone."""
    for folder in folders:
        message = message.replace(f"{folder}/", "").replace(str(folder), "")
    return message


def of_validation(error: RequestValidationError) -> Refusal:
    """The first mistake that the schema of a request names."""
    first = error.errors()[0]
    if first["type"] == "json_invalid" or first.get("loc") == ("body",):
        return bad("the body is no JSON object; accepted: JSON with the header Content-Type: application/json", "body")
    # Between names stand the types of a union, as "constrained-float" or "list[...]".
    place = ".".join(str(p) for p in first["loc"][1:] if isinstance(p, int) or p.isidentifier())
    return bad(f"{place or 'the request'}: {first.get('msg', 'not accepted')}", place)


def install(app: FastAPI) -> None:
    """Let every error of an application have the shape."""

    async def answer_refusal(request: Request, error: Exception) -> JSONResponse:
        return refusal_of(error, request.app.state.server.store.private).response()

    for kind in (Refusal, UserError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, answer_refusal)
