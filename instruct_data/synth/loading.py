"""Strict reading of action files, schemas and the lexicon: what is not understood is an error that names its place."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from instruct_data.synth.format import (
    CONTACTS,
    EASES,
    FEET,
    FRAMES,
    GROUPS,
    HANDS,
    SIDES,
    BankRule,
    Block,
    Caption,
    Family,
    Formula,
    Key,
    Limb,
    Number,
    Param,
    Scope,
    formula,
    number,
    resolve,
)
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.io.files import parsing

_VECTORS = ("pelvis", "pelvis_rot", "spine", "head", "gaze")
_SHOULDERS = ("shoulders", "l_shoulder", "r_shoulder")
_LIMBS = (*HANDS, *FEET, "both_hands", "both_feet")
_KEY = (*_VECTORS, *_SHOULDERS, *_LIMBS, "after", "hold", "pose", "ease", "anticipate", "overshoot", "air",
        "contacts", "balance", "when")  # fmt: skip
_BLOCK = ("repeat", "keys", "advance", "turn", "when")
_HAND = {"at": 3, "from": 0, "elbow": 1, "palm": 3, "raise": 1, "forward": 1, "bend": 1, "twist": 1, "when": 0}
_FOOT = {"at": 3, "yaw": 1, "pitch": 1, "lift": 1, "knee": 1, "hip": 3, "bend": 1, "when": 0}


def only(data: object, accepted: Collection[str], where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UserError(f"{where}: {data!r}; accepted a mapping with {', '.join(accepted)}")
    for key in data:
        if key not in accepted:
            raise UserError(f"{where}: unknown key {key!r}; accepted {', '.join(accepted)}")
    return data


def vector(value: object, size: int, names: Collection[str], where: str) -> tuple[Number, ...]:
    if size == 1 and not isinstance(value, list):
        return (number(value, names, where),)
    if not isinstance(value, list) or len(value) != size:
        raise UserError(f"{where}: {value!r}; accepted {size} numbers" + (" in brackets" if size > 1 else ""))
    return tuple(number(v, names, where) for v in value)


def span(value: object, names: Collection[str], where: str) -> tuple[Number, Number]:
    if isinstance(value, list):
        low, high = vector(value, 2, names, where)
        if isinstance(low, float) and isinstance(high, float) and not 0 <= low <= high:
            raise UserError(f"{where}: {value!r}; accepted [least, most] with 0 <= least <= most")
        return low, high
    seconds = number(value, names, where)
    if isinstance(seconds, float) and seconds < 0:
        raise UserError(f"{where}: {value!r}; accepted seconds of at least 0")
    return seconds, seconds


def _limbs(value: object, names: Collection[str], where: str, foot: bool) -> tuple[Limb, ...]:
    """One setting, or a list of which the first counts whose `when` holds."""
    options = value if isinstance(value, list) else [value]
    if not options:
        raise UserError(f"{where}: an empty list; accepted one or more settings")
    return tuple(_limb(o, _FOOT if foot else _HAND, names, where, foot) for o in options)


def _limb(value: object, kind: Mapping[str, int], names: Collection[str], where: str, foot: bool) -> Limb:
    if value == "free":
        return Limb("free")
    if value == "rest" and not foot:
        return Limb("rest")
    if not isinstance(value, dict):
        extra = "" if foot else ", rest"
        raise UserError(f"{where}: {value!r}; accepted a mapping with {', '.join(kind)}{extra} or free")
    data = only(value, tuple(kind), where)
    when = formula(str(data["when"]), names, f"{where}: when") if "when" in data else None
    origin = data.get("from", "stage")
    if not isinstance(origin, str) or (origin not in FRAMES and re.fullmatch(r"\w+", origin) and origin not in names):
        raise UserError(f"{where}: from {origin!r}; accepted {', '.join(FRAMES)}, or an expression that gives one")
    if origin not in FRAMES:
        origin = formula(origin, [*names, *FRAMES], f"{where}: from")
    angle_keys = ("hip", "bend") if foot else ("raise", "forward", "bend", "twist")
    angles = [k for k in angle_keys if k in data]
    if ("at" in data) == bool(angles) and not (set(data) <= {"palm", "when"}):
        raise UserError(f"{where}: give either at or angles ({', '.join(angle_keys)}), not both or neither")
    bad = [k for k in (("from", "elbow") if angles and not foot else ("yaw", "lift") if angles else ()) if k in data]
    if bad:
        raise UserError(f"{where}: {bad[0]} goes with at, not with angles")
    numbers = {k: vector(v, kind[k], names, f"{where}.{k}") for k, v in data.items() if kind[k]}
    return Limb("angles" if angles else "at" if "at" in data else "palm", numbers, origin, when)


def _negated(value: Number) -> Number:
    return (lambda scope: -value(scope)) if callable(value) else 0.0 - value


def mirror_limb(limb: Limb) -> Limb:
    """The same for the other side: x of `at` turned round; elbow, palm and the arm's angles are per side."""
    numbers = dict(limb.numbers)
    if "at" in numbers:
        x, y, z = numbers["at"]
        numbers["at"] = (_negated(x), y, z)
    if "yaw" in numbers:
        numbers["yaw"] = (_negated(numbers["yaw"][0]),)
    limb_origin = limb.origin
    origin = _other_side(limb_origin) if isinstance(limb_origin, str) else lambda scope: _other_side(limb_origin(scope))
    return Limb(limb.mode, numbers, origin, limb.when)


def _other_side(name: str) -> str:
    return {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]


def read_controls(data: Mapping[str, Any], names: Collection[str], where: str) -> dict[str, Any]:
    """The controls among the keys of `data`; `both_hands` and `both_feet` (written for the right side) spread out."""
    controls: dict[str, Any] = {}
    for name in _VECTORS:
        if name in data:
            value = data[name]
            controls[name] = None if value == "free" else vector(value, 3, names, f"{where}: {name}")
    for name in _SHOULDERS:
        if name in data:
            both = ("l_shoulder", "r_shoulder") if name == "shoulders" else (name,)
            value = data[name]
            numbers = (0.0, 0.0) if value == "free" else vector(value, 2, names, f"{where}: {name}")
            controls |= dict.fromkeys(both, numbers)
    for name in _LIMBS:
        if name not in data:
            continue
        foot = name.endswith(("foot", "feet"))
        limbs = _limbs(data[name], names, f"{where}: {name}", foot)
        if not name.startswith("both"):
            controls[name] = limbs
            continue
        left, right = FEET if foot else HANDS
        controls[right], controls[left] = limbs, tuple(mirror_limb(limb) for limb in limbs)
        if left in data or right in data:
            raise UserError(f"{where}: {name} together with {left} or {right}; accepted one of them")
    for hand in HANDS:
        if any(limb.origin == hand for limb in controls.get(hand, ())):
            raise UserError(f"{where}: {hand}: from itself; accepted {', '.join(f for f in FRAMES if f != hand)}")
    return controls


def _flag(data: Mapping[str, Any], key: str, where: str) -> bool | None:
    value = data.get(key)
    if value is not None and not isinstance(value, bool):
        raise UserError(f"{where}: {key} {value!r}; accepted true or false")
    return value


def pose_or_formula(value: object, names: Collection[str], where: str) -> str | Formula:
    """A pose name, or an expression that gives one."""
    if not isinstance(value, str):
        raise UserError(f"{where}: {value!r}; accepted {', '.join(poses())}")
    if value in poses() or value == "free":
        return value
    if re.fullmatch(r"\w+", value) and value not in names:
        raise UserError(f"{where}: unknown pose {value!r}; accepted {', '.join(poses())}, or a parameter")
    return formula(value, [*names, *poses(), "free"], where)


def _contacts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or any(c not in CONTACTS for c in value):
        raise UserError(f"{where}: {value!r}; accepted a list of {', '.join(CONTACTS)}")
    return tuple(value)


def read_item(data: object, names: Collection[str], where: str) -> Key | Block:
    if not isinstance(data, dict):
        raise UserError(f"{where}: {data!r}; accepted a key (a mapping)")
    when = formula(str(data["when"]), names, f"{where}: when") if "when" in data else None
    if "repeat" in data:
        only(data, _BLOCK, where)
        inner = data.get("keys")
        if not isinstance(inner, list) or not inner:
            raise UserError(f"{where}: keys; a repeat block needs a list of keys")
        keys = tuple(read_item(k, names, f"{where}.{i + 1}") for i, k in enumerate(inner))
        advance = vector(data.get("advance", [0, 0, 0]), 3, names, f"{where}: advance")
        repeat = number(data["repeat"], names, f"{where}: repeat")
        return Block(where, repeat, keys, advance, number(data.get("turn", 0), names, f"{where}: turn"), when)
    only(data, _KEY, where)
    if "after" not in data:
        raise UserError(f"{where}: after is missing; accepted seconds since the previous key")
    ease = data.get("ease", "minjerk")
    if ease not in EASES:
        raise UserError(f"{where}: ease {ease!r}; accepted {', '.join(EASES)}")
    balance = _flag(data, "balance", where)
    return Key(
        where=where,
        after=span(data["after"], names, f"{where}: after"),
        hold=span(data["hold"], names, f"{where}: hold") if "hold" in data else None,
        controls=read_controls(data, names, where),
        pose=pose_or_formula(data["pose"], names, f"{where}: pose") if "pose" in data else None,
        ease=ease,
        anticipate=number(data.get("anticipate", 0), names, f"{where}: anticipate"),
        overshoot=number(data.get("overshoot", 0), names, f"{where}: overshoot"),
        air=bool(_flag(data, "air", where)),
        balance=balance,
        contacts=_contacts(data["contacts"], f"{where}: contacts") if "contacts" in data else None,
        when=when,
    )


@cache
def poses() -> dict[str, dict[str, Any]]:
    """The named base poses of ``poses.yaml``: name -> controls and ``contacts``."""
    path = Path(__file__).with_name("poses.yaml")
    out: dict[str, dict[str, Any]] = {}
    for name, data in read_yaml(path).items():
        where = f"{path.name}: {name}"
        data = only(data, (*_VECTORS, *_SHOULDERS, *_LIMBS, "contacts", "balance"), where)
        controls = {"l_shoulder": (0.0, 0.0), "r_shoulder": (0.0, 0.0), **read_controls(data, (), where)}
        out[name] = {"controls": controls, "balance": _flag(data, "balance", where) is not False,
                     "contacts": _contacts(data.get("contacts", ["l_foot", "r_foot"]), where)}  # fmt: skip
    return out


def pose_name(value: str | Formula, scope: Scope, where: str) -> str:
    """The base pose of a name or formula."""
    names = poses()
    got = value if isinstance(value, str) else value({**{p: p for p in names}, "free": "free", **scope})
    if got not in names and not (got == "free" and where.endswith("ends")):
        raise UserError(f"{where}: the pose is {got!r}; accepted {', '.join(names)}")
    return str(got)


_FAMILY = ("name", "group", "handed", "starts", "ends", "params", "tables", "let", "captions", "bank", "keys", "settle")
_SCHEMA = tuple(k for k in _FAMILY if k not in ("captions", "bank"))
_CAPTION_WORDS = ("side", "other")
_RESERVED = (*_CAPTION_WORDS, "i", "choice")
MIN_CAPTIONS = 12


def read_param(name: str, data: object, where: str, keys: tuple[str, ...] = ("choice", "range", "weights")) -> Param:
    """A parameter with some of `keys`."""
    data = only(data, keys, where)
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
    placeholders = {*names, *_CAPTION_WORDS, "manner", *(f"{n}_times" for n in names), *(f"{n}_word" for n in names)}
    for placeholder in re.findall(r"\{([^}]*)\}", text):
        if placeholder not in placeholders:
            raise UserError(f"{where}: unknown {{{placeholder}}}; accepted {', '.join(sorted(placeholders))}")
    when = formula(str(data["when"]), names, f"{where}: when") if "when" in data else None
    return Caption(" ".join(text.split()), when)


def read_captions(data: object, names: Sequence[str], minimum: int, where: str) -> tuple[Caption, ...]:
    """Sentences of a family whose parameters and derived names are `names`."""
    if not isinstance(data, list):
        raise UserError(f"{where}: captions {data!r}; accepted a list of sentences")
    captions = tuple(read_caption(c, names, f"{where}: caption {i + 1}") for i, c in enumerate(data))
    if len(captions) < minimum:
        raise UserError(f"{where}: {len(captions)} captions; at least {minimum} are needed")
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
            content = rows[scope[param]][at]
            return content(scope) if callable(content) else content

        return cell

    return {str(name): column(i) for i, name in enumerate(columns)}


def _tables(data: object, params: tuple[Param, ...], where: str) -> dict[str, Formula]:
    choices = {p.name: p for p in params if p.values}
    out: dict[str, Formula] = {}
    for param, table in only(data, tuple(choices), where).items():
        names = [*(p.name for p in params), *out]  # cells may use the tables before
        columns = _table(table, param, names, choices[param].values, f"{where}: {param}")
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
    param_data = data.get("params") or {}
    if not isinstance(param_data, dict):
        raise UserError(f"{file}: params {param_data!r}; accepted a mapping")
    param_keys = ("choice", "range", "weights", *(["default"] if accepted is _SCHEMA else []))
    params = tuple(read_param(str(k), v, f"{file}: params: {k}", param_keys) for k, v in param_data.items())
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


_ENTRY = ("name", "schema", "group", "params", "captions")
MIN_ENTRY_CAPTIONS = 8


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
    schema_params = {p.name: p for p in schema.params}
    entry_params = only(data.get("params") or {}, tuple(schema_params), f"{where}: params of {schema.name}")
    values = {n: p.default for n, p in schema_params.items() if p.default is not None} | entry_params
    params = tuple(narrowed(p, values[n], f"{where}: {n}") if n in values else p for n, p in schema_params.items())
    names = [*schema_params, *(n for n, _ in (*schema.tables, *schema.derived))]
    captions = read_captions(data.get("captions"), names, MIN_ENTRY_CAPTIONS, where)
    return replace(schema, name=name, group=group, params=params, captions=captions, path=path, schema=schema.name)


def narrowed(param: Param, value: object, where: str) -> Param:
    """The parameter with what an entry says of it: one value, a smaller choice or a smaller range.

    A choice may give words of its own to values of the schema: ``{choice: {a shelf: high, the floor: low}}``.
    """
    if not isinstance(value, dict):
        return _chosen(param, Param(param.name, (value,), (_word(value),)), where)
    new = read_param(param.name, value, where)
    if new.values:
        return _chosen(param, new, where)
    low, high = resolve(new.low, {}, where), resolve(new.high, {}, where)
    lowest, highest = _bounds(param, where)
    if param.values or not lowest <= low <= high <= highest:
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
        lowest, highest = _bounds(param, where)
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            raise UserError(f"{where}: {value!r}; accepted {accepted(param)}")
        values.append(value)
        words.append(word)
    return replace(new, values=tuple(values), words=tuple(words))
