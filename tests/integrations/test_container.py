"""The Dockerfile: hadolint has nothing to say, and what it promises is in it."""

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def instructions() -> list[tuple[str, str]]:
    """Of the last stage."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M).replace("\\\n", " ")
    rows = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    stages = [k for k, row in enumerate(rows) if row[0] == "FROM"]
    return [(name, rest) for name, rest in rows[stages[-1] :]]


def test_hadolint_is_content() -> None:
    program = shutil.which("hadolint", path=sysconfig.get_path("scripts")) or shutil.which("hadolint")
    if program is None:
        pytest.skip("needs hadolint, of the extra dev")
    run = subprocess.run([program, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, "")


def test_the_image_runs_as_nobody_and_is_watched() -> None:
    last = dict(instructions())
    user, group = last["USER"].split(":")
    assert int(user) >= 10_000 and int(group) >= 10_000
    assert "/healthz" in last["HEALTHCHECK"] and last["STOPSIGNAL"] == "SIGTERM"
    order = [name for name, _ in instructions()]
    assert order.index("USER") < order.index("ENTRYPOINT") and "ADD" not in order
    assert json.loads(last["VOLUME"]) == ["/data"] and "KEY" not in (ROOT / "Dockerfile").read_text()


def test_the_command_is_one_of_ours() -> None:
    import click
    from typer.main import get_group

    from avatargpt.cli.app import app

    program, name, *options = json.loads(dict(instructions())["ENTRYPOINT"])
    group = get_group(app)
    command = group.get_command(click.Context(group), name)
    assert program == "avatargpt" and command is not None
    values = command.make_context(name, options).params
    assert values["host"] == "0.0.0.0" and str(values["store"]).startswith("/data/")


def test_what_is_copied_is_there_and_not_ignored() -> None:
    text = (ROOT / "Dockerfile").read_text()
    sources = {s for row in re.findall(r"^COPY (?!--from)(.*)$", text, re.M) for s in row.split()[:-1]}
    accepted = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == accepted and all((ROOT / s).exists() for s in sources)


def test_the_compose_file_starts_that_image_behind_keys(capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    from avatargpt.__main__ import main

    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    service = compose["services"]["avatargpt"]
    assert (ROOT / service["build"]["context"] / "Dockerfile").is_file()
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and "environment" not in service
    assert [row.partition(":")[0] for row in service["volumes"]] == list(compose["volumes"])
    assert service["volumes"][0].endswith(json.loads(dict(instructions())["VOLUME"])[0])
    assert service["secrets"] == list(compose["secrets"]) and "/run/secrets/keys" in service["command"]
    assert main(["serve", *service["command"]]) == 2 and "/run/secrets/keys" in capsys.readouterr().err
