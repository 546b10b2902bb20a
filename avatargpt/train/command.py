"""The command line of `scripts/train.py`: one sub-command for each row of `avatargpt.train.stage_table`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from avatargpt.train.stage_table import FORMER_OPTIONS, FORMER_STAGES, STAGES, Option, StageEntry
from vqvae.errors import UserError, error_line

UNTIL = "stop at this step with a checkpoint; the schedule stays that of the configuration"


def _whole(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: accepted: at least 1")
    return value


def _add_option(parser: argparse.ArgumentParser, name: str, option: Option) -> None:
    more: dict[str, Any] = {"type": _whole} if option.kind == "whole" else {}
    if option.choices:
        more |= {"choices": option.choices, "type": int}
    text = f"{option.help} (needed)" if option.needed else option.help  # `run_stage` sees to it: not for --print-config
    parser.add_argument(f"--{name}", default=option.default, help=text, **more)


def _add_stage(stages: Any, name: str, entry: StageEntry) -> None:
    sub = stages.add_parser(name, help=entry.help, description=entry.help)
    sub.add_argument("-o", "--output", help="folder for the result; an unfinished run there goes on")
    if entry.recipe:
        sub.add_argument("--config", required=entry.config_needed, metavar="FILE[:VARIANT]", help="YAML configuration")
        sub.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE",
                         help="change the configuration; can be repeated")  # fmt: skip
        sub.add_argument("--print-config", action="store_true", help="print the configuration with all defaults")
    if entry.steps:
        sub.add_argument("--until", type=_whole, metavar="STEP", help=UNTIL)
    if name == "recipe":
        sub.add_argument("--print", action="store_true", help="print every command, in order, and end")
        sub.add_argument("--debug", action="store_true", help="the same chain in its smallest form, in minutes")
    sub.add_argument("--threads", type=_whole, help="CPU threads")
    sub.add_argument("--device", help="cpu, cuda, cuda:0, ...; default: a GPU when there is one")
    sub.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)
    for option, about in entry.options.items():
        _add_option(sub, option, about)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/train.py", description=sys.modules["__main__"].__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)  # deepspeed puts it first
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, entry in STAGES.items():
        _add_stage(stages, name, entry)
    return parser


def _renamed(argv: Sequence[str]) -> list[str]:
    """Names of version 0.1 as they are called now."""
    out, seen = [], False
    for word in argv:
        if not seen and not word.startswith("-"):
            word, seen = FORMER_STAGES.get(word, word), True
        option, equals, value = word.partition("=")
        out.append(FORMER_OPTIONS.get(option, option) + equals + value)
    return out


def _place(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def run_stage(argv: Sequence[str]) -> None:
    """Run a command's stage, its recipe checked before anything else is opened.

    Raises:
        UserError: of the stage, or of its options.
    """
    args = _parser().parse_args(_renamed(argv))
    entry, recipes = STAGES[args.stage], []
    if entry.recipe:
        from avatargpt.config import dumped, resolve

        recipes = [_place(entry.recipe).read(resolve(args.config, args.set), str(args.config or "--set"))]
        if args.print_config:
            print(dumped(recipes[0]), end="")
            return
    _check_needed(args)
    _resolve(args)
    if entry.steps and int(os.environ.get("RANK", 0)) == 0:
        from avatargpt.train.provenance import starting

        starting(args, argv)
    _place(entry.place)(*recipes, args)


def _resolve(args: argparse.Namespace) -> None:
    """Options that name texts of the package, as folders.

    Raises:
        UserError: texts that it does not have.
    """
    from instruct_data.texts import resolved

    for name, value in vars(args).items():
        if isinstance(value, str):
            setattr(args, name, resolved(value))


def parsed(argv: Sequence[str]) -> argparse.Namespace:
    """The options of a command that is to run.

    Raises:
        UserError: one that its stage needs is lacking.
    """
    args = _parser().parse_args(_renamed(argv))
    _check_needed(args)
    _resolve(args)
    return args


def _check_needed(args: argparse.Namespace) -> None:
    options = STAGES[args.stage].options
    lacking = [f"--{n}" for n, o in options.items() if o.needed and getattr(args, n.replace("-", "_")) is None]
    if args.output is None and not getattr(args, "print", False):
        lacking.append("-o FOLDER")
    if lacking:
        raise UserError(f"{args.stage}: {', '.join(lacking)} needed; see scripts/train.py {args.stage} --help")


def main(argv: Sequence[str]) -> int:
    """Entry point; returns the exit status."""
    try:
        run_stage(argv)
    except (Exception, KeyboardInterrupt) as e:
        line, status = error_line(e)
        print(f"error: {line}", file=sys.stderr)
        return status
    return 0
