"""The lexicon: families that are a schema with some of its parameters fixed, and sentences of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from instruct_data.synth.expressions import resolve
from instruct_data.synth.format import GROUPS, Family, Param
from instruct_data.synth.loading import read_captions, read_param
from instruct_data.synth.reading import only
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.io.files import parsing

_ENTRY = ("name", "schema", "group", "params", "captions")
MIN_CAPTIONS = 8


def load_lexicon(path: str | os.PathLike[str], schemas: Mapping[str, Family]) -> list[Family]:
    """The entries of one file, each a family that shares the keys of its schema.

    Raises:
        UserError: anything that is not understood: an unknown schema, parameter or value, too few captions.
    """
    file = Path(path).name
    with parsing(file, "a list of entries"):
        data = read_yaml(path)
        if not isinstance(data, list):
            raise UserError(f"{file}: accepted a list of entries with {', '.join(_ENTRY)}")
        return [_entry(d, schemas, f"{file}: entry {i + 1}", str(path)) for i, d in enumerate(data)]


def _entry(data: object, schemas: Mapping[str, Family], where: str, path: str) -> Family:
    data = only(data, _ENTRY, where)
    name = data.get("name")
    if not isinstance(name, str) or not name.isidentifier():
        raise UserError(f"{where}: name {name!r}; accepted letters, digits and _")
    where = f"{Path(path).name}: {name}"
    schema = schemas.get(str(data.get("schema")))
    if schema is None:
        raise UserError(f"{where}: schema {data.get('schema')!r}; accepted {', '.join(schemas)}")
    group = data.get("group", schema.group)
    if group not in GROUPS:
        raise UserError(f"{where}: group {group!r}; accepted {', '.join(GROUPS)}")
    known = {p.name: p for p in schema.params}
    given = only(data.get("params") or {}, tuple(known), f"{where}: params of {schema.name}")
    said = {n: p.default for n, p in known.items() if p.default is not None} | given
    params = tuple(narrowed(p, said[n], f"{where}: {n}") if n in said else p for n, p in known.items())
    names = [*known, *(n for n, _ in (*schema.tables, *schema.derived))]
    captions = read_captions(data.get("captions"), names, MIN_CAPTIONS, where)
    return replace(schema, name=name, group=group, params=params, captions=captions, path=path, schema=schema.name)


def narrowed(param: Param, given: object, where: str) -> Param:
    """The parameter with what an entry says of it: one value, a smaller choice or a smaller range.

    A choice may give words of its own to values of the schema: ``{choice: {a shelf: high, the floor: low}}``.

    Raises:
        UserError: something that the schema does not draw.
    """
    if not isinstance(given, dict):
        return _chosen(param, Param(param.name, (given,), (_word(given),)), where)
    new = read_param(param.name, given, where)
    if new.values:
        return _chosen(param, new, where)
    low, high = resolve(new.low, {}, where), resolve(new.high, {}, where)
    least, most = _bounds(param, where)
    if param.values or not least <= low <= high <= most:
        raise UserError(f"{where}: range [{low:g}, {high:g}]; accepted {accepted(param)}")
    return new


def accepted(param: Param) -> str:
    """What a parameter can be, in words."""
    if not param.values:
        return "numbers from {:g} to {:g}".format(*_bounds(param, param.name))
    return ", ".join(param.words)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(param: Param, where: str) -> tuple[float, float]:
    return resolve(param.low, {}, where), resolve(param.high, {}, where)


def _chosen(param: Param, new: Param, where: str) -> Param:
    """`new` with its values as the schema's expressions know them."""
    values, words = [], []
    for value, word in zip(new.values, new.words, strict=True):
        if param.values:
            at = next((i for i, v in enumerate(param.values) if value in (v, param.words[i])), None)
            if at is None:
                raise UserError(f"{where}: {value!r}; accepted {accepted(param)}")
            values.append(param.values[at])
            words.append(param.words[at] if word == _word(value) else word)
            continue
        least, most = _bounds(param, where)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise UserError(f"{where}: {value!r}; accepted {accepted(param)}")
        values.append(value)
        words.append(word)
    return replace(new, values=tuple(values), words=tuple(words))
