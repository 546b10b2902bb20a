"""The ``avatargpt`` command: finds sub-commands and turns every error into one line and exit status 2."""

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pkgutil import resolve_name
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from avatargpt.cli.common import Terminated, fail, say, warn
from avatargpt.cli.verbs import add_options
from avatargpt.options import UnheededText
from vqvae.errors import DEBUG, UserError, error_line, one_line

# name -> where its function (or its Typer application, for a group) lives; the order is that of the help page
COMMANDS = {
    "generate": "avatargpt.cli.generate:generate",
    "read": "avatargpt.cli.generate:read",
    "actions": "avatargpt.cli.generate:actions",
    "describe": "avatargpt.cli.motion:describe",
    "inbetween": "avatargpt.cli.motion:inbetween",
    "extend": "avatargpt.cli.motion:extend",
    "reconstruct": "avatargpt.cli.motion:reconstruct",
    "task": "avatargpt.cli.task:task",
    "plan": "avatargpt.cli.plan:plan",
    "long": "avatargpt.cli.plan:long",
    "chat": "avatargpt.cli.chat:chat",
    "serve": "avatargpt.cli.serve:serve",
    "mcp": "avatargpt.cli.mcp:mcp",
    "view": "avatargpt.cli.view:view",
    "talk-page": "avatargpt.cli.talk_page:talk_page",
    "face": "avatargpt.cli.face:face",
    "gesture": "avatargpt.cli.gesture:gesture",
    "speak": "avatargpt.cli.speak:speak",
    "align": "avatargpt.cli.speech:align",
    "capture": "avatargpt.cli.capture:capture",
    "portrait": "avatargpt.cli.portrait:portrait",
    "export": "avatargpt.cli.motion:export",
    "rig": "avatargpt.cli.rig:rig",
    "avatar": "avatargpt.cli.avatar:avatar",
    "finetune": "avatargpt.cli.data:finetune",
    "data": "avatargpt.cli.data:app",
    "eval": "avatargpt.cli.evaluate:app",
    "info": "avatargpt.cli.info:info",
}


# the options that --help shows of commands with many; --help-all shows the others, too
USUAL_OPTIONS = {
    "generate": {"output", "seconds", "num", "seed", "best_of", "times", "turn", "path", "loop", "as_json"},
    "face": {"output", "text", "emotion", "seconds", "seed", "idle", "microphone", "live_link", "websocket", "as_json"},
    "gesture": {"output", "transcript", "asr", "speaker", "calm", "energy", "seed", "microphone", "websocket"},
    "speak": {"output", "transcript", "asr", "text", "emotion", "body", "speaker", "seed", "events", "vmc", "websocket",
              "as_json"},
}


class LazyGroup(TyperGroup):
    """Imports the module of a sub-command only when the command is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in self.commands:
            target = resolve_name(COMMANDS[cmd_name])
            if not isinstance(target, typer.Typer):
                single = typer.Typer(add_completion=False, rich_markup_mode=None)
                single.command(cmd_name)(add_options(target))
                target = single
            self.commands[cmd_name] = typer.main.get_command(target)
            self.commands[cmd_name].name = cmd_name
            _refuse_underscores(self.commands[cmd_name])
            for parameter in self.commands[cmd_name].params if cmd_name in USUAL_OPTIONS else ():
                usual = parameter.name in (*USUAL_OPTIONS[cmd_name], "help_all")
                parameter.hidden = parameter.param_type_name == "option" and not usual  # type: ignore[attr-defined]
        return self.commands[cmd_name]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands with the first sentences of their documentation; none is built for that."""
        rows = []
        for name, place in COMMANDS.items():
            target = resolve_name(place)
            text = target.info.help if isinstance(target, typer.Typer) else target.__doc__
            rows.append((name, (text or "").strip().split("\n")[0]))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:  # Typer itself would say nothing
            raise typer.Abort from None


_REQUIREMENT = "Input should be "  # with which typer's reasons begin


def _refuse_underscores(command: Any) -> None:
    """Let no option of a command, or of a group's commands, read ``1_0`` as ten, as Python does."""

    def check_number(parameter: Any, convert: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
        try:
            number = convert(context, value)
        except typer.BadParameter as e:
            if not e.message.startswith(_REQUIREMENT) or not isinstance(value, str):
                raise
            needed = e.message.removeprefix(_REQUIREMENT).partition(",")[0]
            raise UserError(f"{parameter.opts[0]} {value[:40]}: accepted {needed}") from None
        if isinstance(value, str) and "_" in value and isinstance(number, (int, float)):
            raise typer.BadParameter(f"{value!r} is not a number", ctx=context, param=parameter)
        return number

    for parameter in command.params:
        parameter.process_value = partial(check_number, parameter, parameter.process_value)
    for part in getattr(command, "commands", {}).values():
        _refuse_underscores(part)


app = typer.Typer(
    cls=LazyGroup,
    add_completion=False,
    # plain help: rich costs as much time as all the rest
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from avatargpt import __version__

        say(__version__)
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Human motion from text, and text from motion.

    Wherever a TEXT is taken, @FILE gives one per line. The suffix of an output file chooses its format.
    """
    if debug:
        os.environ[DEBUG] = "1"
    if ctx.invoked_subcommand is None:
        say(ctx.get_help())


def run(argv: list[str]) -> int:
    """Run the command line in this process and return its exit status; an error is reported in one line."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # threads that wait sleep: the products of a clip are short
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with _end_on_signals(), warnings.catch_warnings():
            if not sys.warnoptions:
                # libraries' notices are not for the users of a command
                warnings.simplefilter("ignore")
            warnings.simplefilter("always", UnheededText)
            warnings.showwarning = _print_warning
            status = typer.main.get_command(app).main(argv, prog_name="avatargpt", standalone_mode=False)
            sys.stdout.flush()
    except typer.TyperException as e:
        message = e.format_message().strip().rstrip(".")
        line = one_line(message + _hint(message, getattr(e, "ctx", None)))
        return fail(line[:1].lower() + line[1:])
    except BrokenPipeError:
        # the reader of the output has gone, as with `| head`; the interpreter flushes stdout at exit
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 1
    except (KeyboardInterrupt, typer.Abort):
        return fail("interrupted", 130)
    except Exception as e:
        return fail(*error_line(e))
    return status if isinstance(status, int) else 0


_python_warning = warnings.showwarning


def _print_warning(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
    """A warning about a text as a line on stderr; others, which a user has asked for, as Python prints them."""
    if issubclass(category, UnheededText):
        warn(message)
    else:
        _python_warning(message, category, *rest, **more)


@contextmanager
def _end_on_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, unless they are ignored or handled already.

    A second one changes nothing, for a terminal that closes may send several: what there is can be written.
    """
    process, numbers = os.getpid(), [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    before: dict[int, Any] = {}

    def end(number: int, _frame: object) -> None:
        if os.getpid() != process:  # a forked process ends as others do
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated

    if threading.current_thread() is threading.main_thread():  # the only one with handlers
        before = {n: signal.signal(n, end) for n in numbers if n and signal.getsignal(n) is signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _hint(message: str, context: typer.Context | None) -> str:
    if context is None:
        return ""
    if isinstance(context.command, TyperGroup) and "command" in message:
        return f"; accepted: {', '.join(context.command.list_commands(context))}"
    return f"; see {context.command_path} --help"
