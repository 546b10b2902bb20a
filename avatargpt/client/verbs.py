"""`Verbs`: a method for each route that makes something, from the server's OpenAPI document beside this file.

Their types stand in ``verbs.pyi``, which `scripts/contract.py` writes from the same document.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from operator import itemgetter
from typing import Any

from .results import clips_of

DOCUMENT = json.loads(files(__package__).joinpath("openapi.json").read_text("utf-8"))
# what a method gives of an answer, by the name of the answer's schema; others give all of it
RESULTS: dict[str, Callable[[Any], Any]] = {
    "Motions": clips_of, "Descriptions": itemgetter("descriptions"), "Actions": itemgetter("actions"),
    "Reading": lambda answer: answer.get("request") or answer["score"],
    "Reconstructed": lambda answer: (*clips_of(answer), answer["figures"]),
    "TaskAnswers": lambda answer: answer["answers"] if "answers" in answer else clips_of(answer),
}  # fmt: skip
FIRST = {"face": ["sound", "text"]}  # fields that come before the others


def list_verbs(document: Any = DOCUMENT) -> Iterator[tuple[str, str, str, dict[str, Any], str]]:
    """The verbs of a document, which answer with the result of a job, or with the job: name, path, what it does, fields
    with their schemas, name of the answer's schema."""
    for path, methods in document["paths"].items():
        row = methods.get("post", {"responses": {}})
        if "202" in row["responses"] and "{" not in path:
            name, (body, answer) = row["operationId"], (_schema(row["requestBody"]), _schema(row["responses"]["200"]))
            about = document["components"]["schemas"][body]
            first = {key: about["properties"][key] for key in FIRST.get(name, [])}
            yield (name, path, f"{row['summary']}.", first | about["properties"], answer)


def _schema(row: Any) -> str:
    """The name of the schema of a body or an answer."""
    return str(row["content"]["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def _method(name: str, path: str, about: str, fields: dict[str, Any], result: str) -> Callable[..., Any]:
    """Posts the fields as they are given, and follows the work; the server checks them."""
    sent = [key for key, row in fields.items() if row.get("x-refers") in ("sound", "film")]

    def call(client: Any, *args: Any, progress: Any = None, **named: Any) -> Any:
        asked = dict(zip([*fields][: len(args)], args, strict=True)) | named
        if isinstance(asked.get("prompt"), dict):
            asked["request"] = asked.pop("prompt")
        asked |= {key: client._upload(asked[key]) for key in sent if asked.get(key) is not None}
        return RESULTS.get(result, lambda answer: answer)(client._work(path, asked, progress))

    rows = [f"    {key}: {row.get('description', '')}" for key, row in fields.items()]
    call.__name__, call.__doc__ = name, "\n".join([about, "", "Args:", *rows])
    return call


class Verbs:
    """Every verb of the document as a method; `progress` is called with steps done, and in all."""


for row in list_verbs():
    setattr(Verbs, row[0], _method(*row))
