"""Every field of a verb's request stands at every door: command line, Python, HTTP, MCP."""

import inspect
from pkgutil import resolve_name

import numpy as np
import pytest
import typer

from avatargpt.api import AvatarGPT
from avatargpt.cli.app import app
from avatargpt.verbs import VERBS
from avatargpt.verbs.request import Flag, PythonOnly, fields_of, make_request, marker_of, resolve_sources, values_of
from avatargpt.verbs.sources import load_source
from tests.clips import gliding
from vqvae.errors import UserError

# verb -> method of `AvatarGPT` (files are written by `avatargpt.export.save`), route that is posted to, tool
DOORS = {
    "generate": ("generate", "motions", "make"), "describe": ("describe", "describe", "describe"),
    "inbetween": ("in_between", "inbetween", "inbetween"), "extend": ("extend", "extend", "extend"),
    "plan": ("plan", "plans", "plan"), "long": ("long", "long", "long"), "face": ("act_face", "faces", None),
    "gesture": ("gesture", "gestures", None), "speak": ("speak", "speak", "speak"),
    "task": ("run_task", "tasks", "task"),
    "actions": ("actions", "actions", "actions"),
    "read": ("read", "read", None), "reconstruct": ("reconstruct", "reconstruct", None),
    "capture": ("capture", "capture", None), "export": (None, None, "export"),
}  # fmt: skip


def in_json(verb: str) -> set[str]:
    """Names of the fields that a request in JSON may have."""
    fields = fields_of(resolve_name(VERBS[verb]))
    return {name for name, field in fields.items() if marker_of(field, PythonOnly) is None}


@pytest.mark.parametrize("verb", VERBS)
def test_python_and_the_command_line_have_every_field(verb: str) -> None:
    fields = fields_of(resolve_name(VERBS[verb]))
    assert all(field.description for field in fields.values())
    if (name := DOORS[verb][0]) is not None:
        method = getattr(AvatarGPT, name)
        assert list(inspect.signature(method).parameters)[1:] == list(fields)
        assert all(f"{name}: " in method.__doc__ for name in fields)
    command = typer.main.get_command(app).get_command(None, verb)
    options = {name: p for p in command.params if p.param_type_name == "option" for name in p.opts}
    for name, field in fields.items():
        flag = marker_of(field, Flag)
        if flag is not None and flag.declaration and marker_of(field, PythonOnly) is None:
            spelt = [word.split("/")[0] for word in flag.declaration.split() if word.startswith("-")]
            assert all(field.description[:40] in options[word].help for word in spelt), name


@pytest.mark.parametrize("verb", VERBS)
def test_http_and_tools_have_every_field(verb: str, tmp_path) -> None:
    pytest.importorskip("fastapi", reason="needs the extra serve")
    from avatargpt.server.app import create_app
    from avatargpt.server.settings import ServerSettings
    from avatargpt.server.tools import TOOLS

    _, route, tool = DOORS[verb]
    schema = create_app(ServerSettings(store=tmp_path), object()).openapi()
    if verb != "long" and route is not None:  # over HTTP it is a tool, and a stream
        body = schema["paths"][f"/v1/{route}"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        properties = schema["components"]["schemas"][body["$ref"].rpartition("/")[2]]["properties"]
        assert set(properties) - {"adapter"} == in_json(verb)
        assert all("description" in row or "$ref" in row for row in properties.values())
    if tool is not None:
        parameters = TOOLS[tool].schema()["function"]["parameters"]["properties"]
        assert set(parameters) - {"adapter"} == in_json(verb)


def test_mistakes_are_one_line_that_names_the_field() -> None:
    kind = resolve_name(VERBS["generate"])
    for values, message in (
        ({"num": 0}, "num: 0; accepted 1 to 100"), ({"num": True}, "num: True; accepted: a number"),
        ({"seconds": float("nan")}, "seconds: nan; accepted 0.2 to 600"), ({"colour": 1}, "colour: not a field"),
        ({"modalities": "face"}, "modalities: 'face'; accepted body, or body,face"), ({"seed": -1}, "seed: -1;"),
        ({"pins": ["nose@1=0,0,0"]}, "accepted LIMB@SECOND=X,Y,Z"), ({"waypoints": []}, "waypoints: []"),
        ({"loop": True, "end_pose": object()}, "accepted one of them"),
        ({"path": "circle", "turn": 90}, "turn and path: accepted one of them"),
    ):  # fmt: skip
        with pytest.raises(UserError) as caught:
            make_request(kind, "a person walks", **values).check()
        assert message in str(caught.value) and "\n" not in str(caught.value), values


def test_what_is_named_is_put_in_place_and_defaults_are_left_out() -> None:
    kind = resolve_name(VERBS["generate"])
    asked = make_request(kind, "a person walks", 3.0, after="x", start_pose="y:2")
    found = resolve_sources(asked, lambda kind, value, name: (kind, value, name))
    assert found.after == ("motion", "x", "after") and found.start_pose == ("pose", "y:2", "start_pose")
    assert values_of(make_request(kind, "a person walks", 3.0, best_of=8)) == {"prompt": "a person walks", "seconds": 3}


def test_files_stand_for_motions_in_python(tmp_path) -> None:
    clip = gliding(40)
    clip.save(tmp_path / "a.npz")
    kind = resolve_name(VERBS["generate"])
    asked = make_request(kind, "a person walks", after=str(tmp_path / "a.npz"), end_pose=f"{tmp_path / 'a.npz'}:1.5")
    found = resolve_sources(asked, load_source)
    assert len(found.after) == 40 and np.allclose(found.end_pose.rotations[0], clip.rotations[30], atol=1e-6)
    with pytest.raises(UserError, match="second 9; accepted 0 to 2"):
        resolve_sources(make_request(kind, "walk", start_pose=f"{tmp_path / 'a.npz'}:9"), load_source)
    with pytest.raises(UserError, match="seconds: given twice"):
        make_request(kind, "walk", 3.0, seconds=2.0)
