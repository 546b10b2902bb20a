"""``avatargpt actions``: the library of moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from avatargpt.cli import common
from avatargpt.cli.common import argument, print_json, say, takes

if TYPE_CHECKING:
    from avatargpt.verbs.actions import KnownAction

WIDEST = 28  # characters of a name that others are lined up with


@takes("actions")
def actions(
    query: Annotated[str, argument("QUERY", "What is looked for, in your own words.")] = "",
    *,
    asked: dict[str, Any],
    setup: common.PlainSetup,
) -> None:
    """The library of moves: every action that the model knows, or the nearest to a QUERY.

    A row is its name, its usual length, and a caption that `generate` takes; * = geometry can check it.
    """
    import torch

    from avatargpt import resources
    from avatargpt.lm.checkpoint import check_model
    from avatargpt.requests.resolver import RequestResolver
    from avatargpt.verbs.actions import ActionsRequest, actions_row, find_actions
    from avatargpt.verbs.request import make_request

    wanted = make_request(ActionsRequest, query, **asked)
    wanted.check()
    check_model(setup.model)
    if setup.threads:
        torch.set_num_threads(setup.threads)
    with common.progress("loading", setup.quiet):
        resolver = RequestResolver.load(setup.model or resources.weights())
    found = find_actions(resolver.phrase_index, resolver.grounder, wanted)
    if setup.as_json:
        print_json(actions_row(found))
        return
    for line in format_table(found):
        say(line)


def format_table(found: list[KnownAction]) -> list[str]:
    """Actions as lines of a table under its heads."""
    wide = max((len(a.name) for a in found if len(a.name) <= WIDEST), default=4)
    lines = [f"{'score':>5}  {'seconds':>7}  {'name':<{wide}}    caption"]
    for a in found:
        score = "" if a.score is None else f"{a.score:.2f}"
        seconds = "" if a.seconds is None else f"{a.seconds:.1f}"
        lines.append(f"{score:>5}  {seconds:>7}  {a.name:<{wide}}  {'*' if a.checked else ' '} {a.caption}")
    return lines
