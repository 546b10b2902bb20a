"""The ``avatargpt`` command: finds sub-commands and turns every mistake into one line and exit status 2."""

from __future__ import annotations

import os
import sys
import warnings
from pkgutil import resolve_name
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vqvae.errors import UserError

# name -> where its function (or its Typer application, for a group) lives; the order is that of the help page
COMMANDS = {
    "generate": "avatargpt.cli.generate:generate",
    "describe": "avatargpt.cli.describe:describe",
    "inbetween": "avatargpt.cli.edit:inbetween",
    "extend": "avatargpt.cli.edit:extend",
    "reconstruct": "avatargpt.cli.edit:reconstruct",
    "plan": "avatargpt.cli.plan:plan",
    "long": "avatargpt.cli.long:long",
    "chat": "avatargpt.cli.chat:chat",
    "face": "avatargpt.cli.face:face",
    "export": "avatargpt.cli.convert:export",
    "data": "avatargpt.cli.data:app",
    "eval": "avatargpt.cli.evaluate:app",
    "info": "avatargpt.cli.info:info",
}


class LazyGroup(TyperGroup):
    """Imports a sub-command's module only when the command is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            target = resolve_name(COMMANDS[cmd_name])
            if not isinstance(target, typer.Typer):
                single = typer.Typer(add_completion=False, rich_markup_mode=None)
                single.command(cmd_name)(target)
                target = single
            self.commands[cmd_name] = typer.main.get_command(target)
            self.commands[cmd_name].name = cmd_name
        return self.commands[cmd_name]


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    rich_markup_mode=None,  # plain help: rich costs as much time as all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from avatargpt import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Human motion from text, and text from motion.

    Wherever a TEXT is taken, @FILE gives one per line. The suffix of an output file chooses its format.
    """
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def run(argv: list[str]) -> int:
    """Run the command line in this process and return its exit status."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")  # libraries' notices are not for the users of a command
            status = typer.main.get_command(app).main(argv, prog_name="avatargpt", standalone_mode=False)
            sys.stdout.flush()
    except typer.TyperException as e:
        message = e.format_message().strip().rstrip(".")
        return _fail(message + _hint(message, getattr(e, "ctx", None)), lower=True)
    except UserError as e:
        return _fail(str(e))
    except BrokenPipeError:  # the reader of our output has gone, as with `| head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at exit
        return 1
    except OSError as e:
        return _fail(f"{e.filename}: {e.strerror}" if e.filename else str(e))
    except MemoryError:
        return _fail("out of memory; shorter motions or fewer texts at once need less")
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", status=130)
    return status if isinstance(status, int) else 0


def _hint(message: str, context: typer.Context | None) -> str:
    if context is None:
        return ""
    if isinstance(context.command, TyperGroup) and "command" in message:
        return f"; accepted: {', '.join(context.command.list_commands(context))}"
    return f"; see {context.command_path} --help"


def _fail(message: str, *, lower: bool = False, status: int = 2) -> int:
    line = " ".join(message.split())
    print(f"error: {line[:1].lower() + line[1:] if lower else line}", file=sys.stderr)
    return status
