"""Strict reading of whole action files: parameters, captions, keys."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from instruct_data.synth.expressions import Formula, Scope, formula, number
from instruct_data.synth.format import FRAMES, GROUPS, SIDES, BankRule, Caption, Family, Param
from instruct_data.synth.reading import only, pose_or_formula, poses, read_item, span, vector
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.io.files import parsing

_FAMILY = ("name", "group", "handed", "starts", "ends", "params", "tables", "let", "captions", "bank", "keys", "settle")
_SCHEMA = tuple(k for k in _FAMILY if k not in ("captions", "bank"))
_CAPTION_WORDS = ("side", "other")
_RESERVED = (*_CAPTION_WORDS, "i", "choice")
MIN_CAPTIONS = 12


def read_param(
    name: str, data: object, where: str, known: tuple[str, ...] = ("choice", "range", "weights")
) -> Param:
    """A parameter; `known` are the keys that it may have.

    Raises:
        UserError: neither a choice nor a range, or one that is not understood.
    """
    data = only(data, known, where)
    default = data.get("default")
    if not name.isidentifier() or name in _RESERVED:
        raise UserError(f"{where}: {name!r} cannot be a parameter's name; accepted letters, digits and _")
    if ("choice" in data) == ("range" in data):
        raise UserError(f"{where}: accepted either choice or range")
    if "range" in data:
        low, high = vector(data["range"], 2, (), where)
        return Param(name, low=low, high=high, default=default)
    choice = data["choice"]
    if isinstance(choice, dict) and choice:
        values, words = tuple(choice.values()), tuple(str(k) for k in choice)
    elif isinstance(choice, list) and choice:
        values, words = tuple(choice), tuple(f"{c:g}" if isinstance(c, float) else str(c) for c in choice)
    else:
        raise UserError(f"{where}: choice {choice!r}; accepted a list, or a mapping from words to values")
    if any(not isinstance(v, int | float | str) for v in values):
        raise UserError(f"{where}: choice {choice!r}; accepted numbers or words as values")
    weights = data.get("weights", [])
    if not isinstance(weights, list) or (weights and len(weights) != len(values)):
        raise UserError(f"{where}: weights {weights!r}; accepted one number per choice")
    total = float(sum(weights)) if weights else 1.0
    return Param(name, values, words, weights=tuple(float(w) / total for w in weights), default=default)


def read_caption(data: object, names: Sequence[str], where: str) -> Caption:
    if isinstance(data, str):
        data = {"text": data}
    data = only(data, ("when", "text"), where)
    text = data.get("text")
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: text {text!r}; accepted a sentence")
    known = {*names, *_CAPTION_WORDS, "manner", *(f"{n}_times" for n in names), *(f"{n}_word" for n in names)}
    for placeholder in re.findall(r"\{([^}]*)\}", text):
        if placeholder not in known:
            raise UserError(f"{where}: unknown {{{placeholder}}}; accepted {', '.join(sorted(known))}")
    when = formula(str(data["when"]), names, f"{where}: when") if "when" in data else None
    return Caption(" ".join(text.split()), when)


def read_captions(data: object, names: Sequence[str], least: int, where: str) -> tuple[Caption, ...]:
    """Sentences of a family whose parameters and derived names are `names`.

    Raises:
        UserError: fewer than `least`, or one that is not understood.
    """
    if not isinstance(data, list):
        raise UserError(f"{where}: captions {data!r}; accepted a list of sentences")
    captions = tuple(read_caption(c, names, f"{where}: caption {i + 1}") for i, c in enumerate(data))
    if len(captions) < least:
        raise UserError(f"{where}: {len(captions)} captions; at least {least} are needed")
    return captions


def _bank(data: object, family: str, names: list[str], where: str) -> BankRule:
    data = only(data, ("key", "has", "when"), where)
    has = data.get("has")
    has = [has] if isinstance(has, str) else has
    if not isinstance(has, list) or not has or any(not isinstance(h, str) or not h for h in has):
        raise UserError(f"{where}: has {has!r}; accepted a piece of a sentence, or a list of them")
    when = formula(str(data["when"]), names, f"{where}: when") if "when" in data else None
    return BankRule(str(data.get("key", family)), tuple(has), when)


def load_family(path: str | os.PathLike[str]) -> Family:
    """Read one action file.

    Raises:
        UserError: anything that is not understood: an unknown key, a wrong value, too few captions.
    """
    with parsing(Path(path).name, "an action"):
        return _family(Path(path), _FAMILY)


def load_schema(path: str | os.PathLike[str]) -> Family:
    """Read one schema: an action file without captions, of which the entries of a lexicon make families.

    Raises:
        UserError: anything that is not understood.
    """
    with parsing(Path(path).name, "a schema"):
        return _family(Path(path), _SCHEMA)


def _table(data: object, param: str, names: list[str], values: tuple[object, ...], where: str) -> dict[str, Formula]:
    """Columns of a table as formulas: each gives the cell in the row of what was drawn for `param`."""
    data = only(data, ("columns", *map(str, values)), where)
    columns = data.get("columns")
    if not isinstance(columns, list) or any(not str(c).isidentifier() for c in columns):
        raise UserError(f"{where}: columns {columns!r}; accepted a list of names")
    rows: dict[object, list[Formula | float]] = {}
    for value in values:
        row = data.get(str(value))
        if not isinstance(row, list) or len(row) != len(columns):
            raise UserError(f"{where}: row {value}: {row!r}; accepted {len(columns)} values, one a column")
        rows[value] = [number(cell, [*names, *FRAMES], f"{where}: {value}") for cell in row]

    def column(at: int) -> Formula:
        def cell(scope: Scope) -> object:
            found = rows[scope[param]][at]
            return found(scope) if callable(found) else found

        return cell

    return {str(name): column(i) for i, name in enumerate(columns)}


def _tables(data: object, params: tuple[Param, ...], where: str) -> dict[str, Formula]:
    known = {p.name: p for p in params if p.values}
    out: dict[str, Formula] = {}
    for param, table in only(data, tuple(known), where).items():
        names = [*(p.name for p in params), *out]  # cells may use the tables before
        columns = _table(table, param, names, known[param].values, f"{where}: {param}")
        if twice := sorted({*out, *(p.name for p in params)} & set(columns)):
            raise UserError(f"{where}: {param}: {twice[0]!r}; accepted new names as columns")
        out |= columns
    return out


def _family(path: Path, accepted: tuple[str, ...]) -> Family:
    file = path.name
    data = only(read_yaml(path), accepted, file)
    for key in ("name", "group", "captions", "keys"):
        if key in accepted and not data.get(key):
            raise UserError(f"{file}: {key} is missing")
    if data["group"] not in GROUPS:
        raise UserError(f"{file}: group {data['group']!r}; accepted {', '.join(GROUPS)}")
    handed = str(data.get("handed", "none"))
    if handed not in SIDES:
        raise UserError(f"{file}: handed {handed!r}; accepted {', '.join(SIDES)}")
    given = data.get("params") or {}
    if not isinstance(given, dict):
        raise UserError(f"{file}: params {given!r}; accepted a mapping")
    known = ("choice", "range", "weights", *(["default"] if accepted is _SCHEMA else []))
    params = tuple(read_param(str(k), v, f"{file}: params: {k}", known) for k, v in given.items())
    tables = _tables(data.get("tables") or {}, params, f"{file}: tables")
    names = [*(p.name for p in params), *tables]
    let = only(data.get("let") or {}, tuple(data.get("let") or {}), f"{file}: let")
    derived = []
    for name, text in let.items():
        if not str(name).isidentifier() or name in (*_RESERVED, *names):
            raise UserError(f"{file}: let: {name!r}; accepted a new name of letters, digits and _")
        derived.append((str(name), formula(str(text), [*names, *poses(), *FRAMES], f"{file}: let: {name}")))
        names.append(str(name))
    if not isinstance(data["keys"], list):
        raise UserError(f"{file}: keys; accepted a list")
    captions = read_captions(data["captions"], names, MIN_CAPTIONS, file) if "captions" in accepted else ()
    rules = data.get("bank", [])
    if not isinstance(rules, list):
        raise UserError(f"{file}: bank {rules!r}; accepted a list of {{key, has, when}}")
    bank = tuple(
        _bank(r, str(data["name"]), names, f"{file}: bank {i + 1}") for i, r in enumerate(rules)
    )  # fmt: skip
    starts = pose_or_formula(data.get("starts", "stand"), names, f"{file}: starts")
    ends = pose_or_formula(data["ends"], names, f"{file}: ends") if "ends" in data else starts
    keys = tuple(read_item(k, [*names, "i"], f"{file}: key {i + 1}") for i, k in enumerate(data["keys"]))
    settle = span(data.get("settle", [0.2, 0.6]), names, f"{file}: settle")
    return Family(
        str(data["name"]), data["group"], handed, starts, ends, params, captions, keys, settle, str(path),
        tuple(derived), bank, tuple(tables.items()),
    )  # fmt: skip
