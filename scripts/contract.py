"""Write what follows from the server's contract: its OpenAPI document, and the types and messages of its clients.

    python scripts/contract.py            # write them
    python scripts/contract.py --check    # exit with 1 where one of them is not that of today's code

avatargpt/client/openapi.json    the document, which the Python client is made of
avatargpt/client/verbs.pyi       types of the Python client
avatargpt/server/api.html        the page at /docs
docs/asyncapi.json               messages of the WebSocket /v1/stream
web/client/contract.d.ts         types of the npm client, by openapi-typescript; needs `npm --prefix web install`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

ROOT = Path(__file__).resolve().parents[1]
GENERATOR = ROOT / "web" / "client" / "node_modules" / ".bin" / "openapi-typescript"
DOCUMENT, STUBS = "avatargpt/client/openapi.json", "avatargpt/client/verbs.pyi"
MESSAGES, TYPES, API = "docs/asyncapi.json", "web/client/contract.d.ts", "avatargpt/server/api.html"
PLAIN = {"string": "str", "number": "float", "integer": "int", "boolean": "bool", "null": "None"}
NAMED = {
    "motion": "Clip | str",
    "pose": "Clip | str",
    "sound": "given.File",
    "film": "given.File",
}  # by what a field refers to
RESULTS = {
    "Motions": "list[Clip]", "Descriptions": "list[str]", "Actions": "list[KnownAction]", "Reading": "dict[str, Any]",
    "Reconstructed": "tuple[Clip, dict[str, float]]", "TaskAnswers": "list[str] | list[Clip]",
}  # fmt: skip
HEAD = """# Written by scripts/contract.py from openapi.json.
# ruff: noqa
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, TypedDict

from . import results as given
from .results import Clip

DOCUMENT: dict[str, Any]

def list_verbs(document: Any = ...) -> Iterator[tuple[str, str, str, dict[str, Any], str]]: ...
"""

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>AvatarGPT API</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222;
        background: #fff }}
h2 {{ font: 600 1rem ui-monospace, monospace; border-top: 1px solid #ccc; padding-top: 1rem }} h2 b {{ color: #06c }}
pre {{ background: #f4f4f4; padding: .7rem; overflow-x: auto; white-space: pre-wrap }} .p {{ margin: .2rem 0 }}
@media (prefers-color-scheme: dark) {{ body {{ color: #ddd; background: #181818 }} pre {{ background: #262626 }}
        h2 b {{ color: #6af }} a {{ color: #6af }} }}
</style><body>{}</body></html>"""


# Messages of the server on `/v1/stream`; after one of frames comes a binary message with their rows
class ReadyMessage(TypedDict):
    type: Literal["ready"]
    fps: int
    latency: float
    joints: list[str]
    parents: list[int]
    offsets: list[list[float]]
    face: list[str]
    presets: NotRequired[list[str]]


class FramesMessage(TypedDict):
    type: Literal["frames"]
    fps: int
    start: int
    frames: int
    joints: int
    channels: int
    presets: NotRequired[int]


class DirectedMessage(TypedDict):
    type: Literal["directed"]
    frame: int
    warning: NotRequired[str]


class StepMessage(TypedDict):
    type: Literal["step"]
    text: str
    activity: str
    start: float
    seconds: float
    described: str
    note: str  # fmt: skip


class DoneMessage(TypedDict):
    type: Literal["done"]
    frames: int
    seconds: float


class StoppedMessage(TypedDict):
    type: Literal["stopped"]
    frames: int


class ErrorMessage(TypedDict):
    type: Literal["error"]
    code: str
    message: str
    where: str


Message = ReadyMessage | FramesMessage | DirectedMessage | StepMessage | DoneMessage | StoppedMessage | ErrorMessage


def make_document() -> dict[str, Any]:
    """The OpenAPI document of a server without a key."""
    from avatargpt.server.app import create_app
    from avatargpt.server.settings import ServerSettings

    with tempfile.TemporaryDirectory() as folder:
        document: dict[str, Any] = create_app(ServerSettings(store=Path(folder)), object()).openapi()
    return document


def write_json(value: Any) -> str:
    """A document as text."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def python_type(schema: dict[str, Any]) -> str:
    """The type of a schema in Python."""
    if "x-refers" in schema:
        return NAMED[schema["x-refers"]]
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "Any" if name == "JsonValue" else name
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(python_type(s) for s in schema["anyOf"]))
    if values := schema.get("enum") or [schema[k] for k in ("const",) if k in schema]:
        return f"Literal[{', '.join(map(repr, values))}]"
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"tuple[{', '.join(map(python_type, schema['prefixItems']))}]"
        case "array":
            return f"list[{python_type(schema.get('items', {}))}]"
        case "object":
            rest = schema.get("additionalProperties")
            return f"dict[str, {python_type(rest) if isinstance(rest, dict) else 'Any'}]"
        case kind:
            return PLAIN.get(kind or "", "Any")


def write_stubs(document: dict[str, Any]) -> str:
    """The types of the Python client: a dictionary for each schema, and a method for each verb."""
    from avatargpt.client.verbs import list_verbs

    out = [HEAD]
    for name, schema in sorted(document["components"]["schemas"].items()):
        if "properties" not in schema:
            continue
        needed = schema.get("required", [])
        rows = [f'    "{key}": {t if key in needed else f"NotRequired[{t}]"},'
                for key, row in schema["properties"].items() for t in [python_type(row)]]  # fmt: skip
        out.append("\n".join([f'{name} = TypedDict("{name}", {{', *rows, "})"]))
    out.append("class Verbs:")
    for name, _, about, fields, result in list_verbs(document):
        rows = [f"        {key}: {python_type(row)}{'' if 'None' in python_type(row) else ' | None'} = None,"
                for key, row in fields.items()]  # fmt: skip
        rows.append("        *, progress: given.Progress | None = None,")
        end = f"    ) -> {RESULTS.get(result, result)}:"
        out.append("\n".join([f"    def {name}(", "        self,", *rows, end, f'        """{about}"""']))
    return "\n".join(out) + "\n"


def write_page(schema: dict[str, Any]) -> str:
    """An OpenAPI document as HTML: each route with its parameters, and its examples as commands."""
    about = schema["info"]
    rows = [f"<h1>{escape(about['title'])} {escape(about['version'])}</h1>", f"<p>{escape(about['description'])}</p>",
            '<p>The document itself: <a href="openapi.json">/openapi.json</a></p>']  # fmt: skip
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            summary = escape(route.get("summary", ""))
            rows.append(f"<h2><b>{method.upper()}</b> {escape(path)}</h2><p><i>{summary}</i></p>")
            rows.append(f"<p>{escape(route.get('description', ''))}</p>")
            rows += [_parameter(p) for p in route.get("parameters", [])]
            rows += [_command(method, path, name, value) for name, value in _examples(route)]
    return PAGE.format("\n".join(rows))


def _parameter(row: dict[str, Any]) -> str:
    kind = row["schema"].get("type") or " or ".join(s.get("type", "") for s in row["schema"].get("anyOf", []))
    default = f", default {row['schema']['default']}" if "default" in row["schema"] else ""
    text = f"{kind}{default}. {row.get('description', '')}"
    return f"<p class=p><code>{escape(row['name'])}</code> ({escape(row['in'])}) {escape(text)}</p>"


def _examples(route: dict[str, Any]) -> list[tuple[str, Any]]:
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
    named = [(name, row["value"]) for name, row in body.get("examples", {}).items()]
    return named or [("", value) for value in body.get("schema", {}).get("examples", [])]


def _command(method: str, path: str, name: str, value: Any) -> str:
    text = json.dumps(value)
    command = f"curl -X {method.upper()} http://localhost:8765{path} -H 'Content-Type: application/json' -d '{text}'"
    return f"<pre>{escape(f'# {name}' + chr(10) if name else '')}{escape(command)}</pre>"


def write_messages() -> str:
    """The messages of the WebSocket as an AsyncAPI document."""
    from pydantic import TypeAdapter

    from avatargpt import __version__
    from avatargpt.server.stream import EVENTS

    form = "#/components/schemas/{model}"
    received = EVENTS.json_schema(ref_template=form)
    schemas = received.pop("$defs")
    kinds = {kind: row["$ref"].rpartition("/")[2] for kind, row in zip(received["discriminator"]["mapping"],
             received["oneOf"], strict=True)}  # fmt: skip
    sent = TypeAdapter(Message).json_schema(ref_template=form, mode="serialization")
    schemas |= sent.pop("$defs")
    told = [row["$ref"].rpartition("/")[2] for row in sent["anyOf"]]
    channel = "#/channels/stream"
    messages = {name: {"payload": {"$ref": form.format(model=name)}} for name in [*kinds.values(), *told]}
    return write_json({
        "asyncapi": "3.0.0", "info": {"title": "AvatarGPT: WS /v1/stream", "version": __version__,
            "description": "JSON in text messages. Sound goes in binary ones, 16 bit mono; after `frames` comes a "
                           "binary one of float32 rows: root x y z, x y z w of each joint, face, presets."},
        "channels": {"stream": {"address": "/v1/stream", "messages": messages}},
        "operations": {
            name: {"action": action, "channel": {"$ref": channel},
                   "messages": [{"$ref": f"{channel}/messages/{m}"} for m in rows]}
            for name, action, rows in (("hear", "receive", kinds.values()), ("tell", "send", told))
        },
        "components": {"schemas": schemas},
    })  # fmt: skip


def write_types(document: str) -> str:
    """The types of the npm client."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "openapi.json"), Path(folder, "contract.d.ts")
        source.write_text(document, encoding="utf-8")
        subprocess.run([GENERATOR, source, "-o", target, "--default-non-nullable=false"], check=True,
                       capture_output=True)  # fmt: skip
        return target.read_text(encoding="utf-8")


def write_all() -> dict[str, str]:
    """Every file of the contract by its path; that of openapi-typescript where it is installed."""
    document = make_document()
    text = write_json(document)
    types = {TYPES: write_types(text)} if GENERATOR.exists() else {}
    return {DOCUMENT: text, STUBS: write_stubs(document), MESSAGES: write_messages(), API: write_page(document),
            **types}  # fmt: skip


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 where a file is not that of today's code")
    args = parser.parse_args()
    old = []
    for name, text in write_all().items():
        path = ROOT / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            old.append(name)
            if not args.check:
                path.write_text(text, encoding="utf-8")
    print("\n".join(f"{name}: {'not current' if args.check else 'written'}" for name in old) or "all current")
    return bool(old and args.check)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
