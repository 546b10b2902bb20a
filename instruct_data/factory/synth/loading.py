"""Strict reading of action files, schemas and the lexicon: every mistake is an error that names its place."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from instruct_data.factory.synth import format as fmt
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml
from vqvae.io.files import parsing
from vqvae.skeleton import mirror_name
from vqvae.strict import Flag, Rate, Strict, check_keys

_VECTORS = ("pelvis", "pelvis_rot", "spine", "head", "gaze")
_SHOULDERS = ("shoulders", "l_shoulder", "r_shoulder")
_LIMBS = (*fmt.HANDS, *fmt.FEET, "both_hands", "both_feet")
_CONTROLS = frozenset((*_VECTORS, *_SHOULDERS, *_LIMBS))
# the size of each number of a limb's setting; 0 = no number
_HAND = {"at": 3, "from": 0, "elbow": 1, "palm": 3, "raise": 1, "forward": 1, "bend": 1, "twist": 1, "when": 0}
_FOOT = {"at": 3, "yaw": 1, "pitch": 1, "lift": 1, "knee": 1, "hip": 3, "bend": 1, "when": 0}
_RESERVED = ("side", "other", "i", "choice")
MIN_CAPTIONS, MIN_ENTRY_CAPTIONS = 12, 8


class _Block(Strict):
    repeat: Any
    keys: list[Any] = Field(min_length=1)
    advance: Any = [0, 0, 0]
    turn: Any = 0
    when: Any = None


class _Key(Strict):
    after: Any
    hold: Any = None
    pose: Any = None
    ease: fmt.Ease = "minjerk"
    anticipate: Any = 0
    overshoot: Any = 0
    air: Flag = False
    balance: Flag | None = None
    still: Flag | None = None
    contacts: tuple[fmt.Contact, ...] | None = None
    when: Any = None


class _Pose(Strict):
    contacts: tuple[fmt.Contact, ...] = fmt.FEET
    balance: Flag = True


class _Caption(Strict):
    text: str = Field(min_length=1)
    when: Any = None


class _BankRule(Strict):
    key: str = ""
    has: str | list[str] = Field(min_length=1)
    when: Any = None


class _Param(Strict):
    choice: list[Any] | dict[Any, Any] | None = None
    range: list[Any] | None = None
    weights: list[Rate] = []
    default: Any = None


class _Schema(Strict):
    name: str = Field(min_length=1)
    group: fmt.Group
    handed: fmt.Handed = "none"
    starts: Any = "stand"
    ends: Any = None
    params: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    let: dict[str, Any] = {}
    keys: list[Any] = Field(min_length=1)
    settle: Any = [0.2, 0.6]


class _Action(_Schema):
    captions: list[Any]
    bank: list[Any] = []


class _Entry(Strict):
    name: str = Field(pattern=r"^[A-Za-z_]\w*$")
    schema_name: str = Field(alias="schema")
    group: fmt.Group | None = None
    params: dict[str, Any] = {}
    captions: list[Any]


def _condition(text: object, names: Collection[str], where: str) -> fmt.Formula | None:
    return None if text is None else fmt.formula(str(text), names, f"{where}: when")


def vector(value: object, size: int, names: Collection[str], where: str) -> tuple[fmt.Number, ...]:
    if size == 1 and not isinstance(value, list):
        return (fmt.number(value, names, where),)
    if not isinstance(value, list) or len(value) != size:
        raise UserError(f"{where}: {value!r}; accepted {size} numbers" + (" in brackets" if size > 1 else ""))
    return tuple(fmt.number(v, names, where) for v in value)


def span(value: object, names: Collection[str], where: str) -> tuple[fmt.Number, fmt.Number]:
    if isinstance(value, list):
        low, high = vector(value, 2, names, where)
        if isinstance(low, float) and isinstance(high, float) and not 0 <= low <= high:
            raise UserError(f"{where}: {value!r}; accepted [least, most] with 0 <= least <= most")
        return low, high
    seconds = fmt.number(value, names, where)
    if isinstance(seconds, float) and seconds < 0:
        raise UserError(f"{where}: {value!r}; accepted seconds of at least 0")
    return seconds, seconds


def _limbs(value: object, names: Collection[str], where: str, foot: bool) -> tuple[fmt.Limb, ...]:
    """One setting, or a list of which the first counts whose `when` holds."""
    options = value if isinstance(value, list) else [value]
    if not options:
        raise UserError(f"{where}: an empty list; accepted one or more settings")
    return tuple(_limb(o, _FOOT if foot else _HAND, names, where, foot) for o in options)


def _limb(value: object, kind: Mapping[str, int], names: Collection[str], where: str, foot: bool) -> fmt.Limb:
    if value == "free":
        return fmt.Limb("free")
    if value == "rest" and not foot:
        return fmt.Limb("rest")
    if not isinstance(value, dict):
        extra = "" if foot else ", rest"
        raise UserError(f"{where}: {value!r}; accepted a mapping with {', '.join(kind)}{extra} or free")
    data = check_keys(value, tuple(kind), where)
    origin = data.get("from", "stage")
    origins = (*fmt.FRAMES, *names)
    if not isinstance(origin, str) or (origin not in origins and re.fullmatch(r"\w+", origin)):
        raise UserError(f"{where}: from {origin!r}; accepted {', '.join(fmt.FRAMES)}, or an expression that gives one")
    if origin not in fmt.FRAMES:
        origin = fmt.formula(origin, [*names, *fmt.FRAMES], f"{where}: from")
    angle_keys = ("hip", "bend") if foot else ("raise", "forward", "bend", "twist")
    angles = [k for k in angle_keys if k in data]
    if ("at" in data) == bool(angles) and not (set(data) <= {"palm", "when"}):
        raise UserError(f"{where}: give either at or angles ({', '.join(angle_keys)}), not both or neither")
    bad = [k for k in (("from", "elbow") if angles and not foot else ("yaw", "lift") if angles else ()) if k in data]
    if bad:
        raise UserError(f"{where}: {bad[0]} goes with at, not with angles")
    numbers = {k: vector(v, kind[k], names, f"{where}.{k}") for k, v in data.items() if kind[k]}
    mode = "angles" if angles else "at" if "at" in data else "palm"
    return fmt.Limb(mode, numbers, origin, _condition(data.get("when"), names, where))


def _negate(value: fmt.Number) -> fmt.Number:
    return (lambda scope: -value(scope)) if callable(value) else 0.0 - value


def mirror_limb(limb: fmt.Limb) -> fmt.Limb:
    """The same for the other side: x of `at` turned round; elbow, palm and the arm's angles are per side."""
    numbers = dict(limb.numbers)
    if "at" in numbers:
        x, y, z = numbers["at"]
        numbers["at"] = (_negate(x), y, z)
    if "yaw" in numbers:
        numbers["yaw"] = (_negate(numbers["yaw"][0]),)
    limb_origin = limb.origin
    origin = mirror_name(limb_origin) if isinstance(limb_origin, str) else lambda scope: mirror_name(limb_origin(scope))
    return fmt.Limb(limb.mode, numbers, origin, limb.when)


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
        left, right = fmt.FEET if foot else fmt.HANDS
        controls[right], controls[left] = limbs, tuple(mirror_limb(limb) for limb in limbs)
        if left in data or right in data:
            raise UserError(f"{where}: {name} together with {left} or {right}; accepted one of them")
    for hand in fmt.HANDS:
        if any(limb.origin == hand for limb in controls.get(hand, ())):
            raise UserError(f"{where}: {hand}: from itself; accepted {', '.join(f for f in fmt.FRAMES if f != hand)}")
    return controls


def pose_or_formula(value: object, names: Collection[str], where: str) -> str | fmt.Formula:
    """A pose name, or an expression that gives one."""
    if not isinstance(value, str):
        raise UserError(f"{where}: {value!r}; accepted {', '.join(poses())}")
    if value in poses() or value == "free":
        return value
    if re.fullmatch(r"\w+", value) and value not in names:
        raise UserError(f"{where}: unknown pose {value!r}; accepted {', '.join(poses())}, or a parameter")
    return fmt.formula(value, [*names, *poses(), "free"], where)


def read_item(data: object, names: Collection[str], where: str) -> fmt.Key | fmt.KeyBlock:
    """A key, or a block of repeated keys."""
    if not isinstance(data, dict):
        raise UserError(f"{where}: {data!r}; accepted a key (a mapping)")
    if "repeat" in data:
        block = _Block.read(data, where)
        keys = tuple(read_item(k, names, f"{where}.{i + 1}") for i, k in enumerate(block.keys))
        advance = vector(block.advance, 3, names, f"{where}: advance")
        repeat = fmt.number(block.repeat, names, f"{where}: repeat")
        turn = fmt.number(block.turn, names, f"{where}: turn")
        return fmt.KeyBlock(where, repeat, keys, advance, turn, _condition(block.when, names, where))
    key = _Key.read({k: v for k, v in data.items() if k not in _CONTROLS}, where)
    return fmt.Key(
        where,
        span(key.after, names, f"{where}: after"),
        None if key.hold is None else span(key.hold, names, f"{where}: hold"),
        read_controls(data, names, where),
        None if key.pose is None else pose_or_formula(key.pose, names, f"{where}: pose"),
        key.ease,
        fmt.number(key.anticipate, names, f"{where}: anticipate"),
        fmt.number(key.overshoot, names, f"{where}: overshoot"),
        key.air,
        key.balance,
        key.contacts,
        _condition(key.when, names, where),
        key.still,
    )


@cache
def poses() -> dict[str, dict[str, Any]]:
    """The named base poses of ``poses.yaml``: name -> controls and ``contacts``."""
    path = Path(__file__).with_name("poses.yaml")
    out: dict[str, dict[str, Any]] = {}
    for name, data in read_yaml(path).items():
        where = f"{path.name}: {name}"
        pose = _Pose.read({k: v for k, v in data.items() if k not in _CONTROLS}, where)
        controls = {"l_shoulder": (0.0, 0.0), "r_shoulder": (0.0, 0.0), **read_controls(data, (), where)}
        out[name] = {"controls": controls, "balance": pose.balance, "contacts": pose.contacts}
    return out


def pose_name(value: str | fmt.Formula, scope: fmt.Scope, where: str) -> str:
    """The base pose of a name or formula."""
    names = poses()
    got = value if isinstance(value, str) else value({**{p: p for p in names}, "free": "free", **scope})
    if got not in names and not (got == "free" and where.endswith("ends")):
        raise UserError(f"{where}: the pose is {got!r}; accepted {', '.join(names)}")
    return str(got)


def read_param(name: str, data: object, where: str) -> fmt.Param:
    """A parameter: a choice, with weights where given, or a range."""
    row = _Param.read(data, where)
    if not name.isidentifier() or name in _RESERVED:
        raise UserError(f"{where}: {name!r} cannot be a parameter's name; accepted letters, digits and _")
    if (row.choice is None) == (row.range is None):
        raise UserError(f"{where}: accepted either choice or range")
    if row.range is not None:
        low, high = vector(row.range, 2, (), where)
        return fmt.Param(name, low=low, high=high, default=row.default)
    choice = row.choice
    if isinstance(choice, dict):
        values, words = tuple(choice.values()), tuple(str(k) for k in choice)
    else:
        values, words = tuple(choice or ()), tuple(map(_word, choice or ()))
    if not values or any(not isinstance(v, int | float | str) for v in values):
        raise UserError(f"{where}: choice {choice!r}; accepted numbers or words as values")
    if row.weights and len(row.weights) != len(values):
        raise UserError(f"{where}: weights {row.weights!r}; accepted one number per choice")
    total = float(sum(row.weights))
    return fmt.Param(name, values, words, weights=tuple(float(w) / total for w in row.weights), default=row.default)


def read_captions(
    data: Sequence[object], names: Sequence[str], minimum: int, where: str
) -> tuple[fmt.CaptionTemplate, ...]:
    """Sentences of a family whose parameters and derived names are `names`."""
    if len(data) < minimum:
        raise UserError(f"{where}: {len(data)} captions; at least {minimum} are needed")
    placeholders = {*names, "side", "other", "manner", *(f"{n}_times" for n in names), *(f"{n}_word" for n in names)}
    captions = []
    for i, item in enumerate(data, 1):
        place = f"{where}: caption {i}"
        row = _Caption.read({"text": item} if isinstance(item, str) else item, place)
        if unknown := sorted(set(re.findall(r"\{([^}]*)\}", row.text)) - placeholders):
            raise UserError(f"{place}: unknown {{{unknown[0]}}}; accepted {', '.join(sorted(placeholders))}")
        captions.append(fmt.CaptionTemplate(" ".join(row.text.split()), _condition(row.when, names, place)))
    return tuple(captions)


def load_family(path: str | os.PathLike[str]) -> fmt.Family:
    """Read one action file. Raises UserError for an unknown key, a wrong value or too few captions."""
    with parsing(Path(path).name, "an action"):
        return _family(Path(path), _Action)


def load_schema(path: str | os.PathLike[str]) -> fmt.Family:
    """Read one schema: an action file without captions, of which the entries of a lexicon make families."""
    with parsing(Path(path).name, "a schema"):
        return _family(Path(path), _Schema)


def _table(
    data: object, param: str, names: list[str], values: tuple[object, ...], where: str
) -> dict[str, fmt.Formula]:
    """Columns of a table as formulas: each gives the cell in the row of the value drawn for `param`."""
    data = check_keys(data, ("columns", *map(str, values)), where)
    columns = data.get("columns")
    if not isinstance(columns, list) or any(not str(c).isidentifier() for c in columns):
        raise UserError(f"{where}: columns {columns!r}; accepted a list of names")
    rows: dict[object, list[fmt.Formula | float]] = {}
    for value in values:
        row = data.get(str(value))
        if not isinstance(row, list) or len(row) != len(columns):
            raise UserError(f"{where}: row {value}: {row!r}; accepted {len(columns)} values, one a column")
        rows[value] = [fmt.number(cell, [*names, *fmt.FRAMES], f"{where}: {value}") for cell in row]

    def column(at: int) -> fmt.Formula:
        def cell(scope: fmt.Scope) -> object:
            content = rows[scope[param]][at]
            return content(scope) if callable(content) else content

        return cell

    return {str(name): column(i) for i, name in enumerate(columns)}


def _tables(data: object, params: tuple[fmt.Param, ...], where: str) -> dict[str, fmt.Formula]:
    choices = {p.name: p for p in params if p.values}
    out: dict[str, fmt.Formula] = {}
    for param, table in check_keys(data, tuple(choices), where).items():
        names = [*(p.name for p in params), *out]  # cells may use the tables before
        columns = _table(table, param, names, choices[param].values, f"{where}: {param}")
        if twice := sorted({*out, *(p.name for p in params)} & set(columns)):
            raise UserError(f"{where}: {param}: {twice[0]!r}; accepted new names as columns")
        out |= columns
    return out


def _family(path: Path, model: type[_Schema]) -> fmt.Family:
    file = path.name
    data = model.read(read_yaml(path), file)
    params = tuple(read_param(k, v, f"{file}: params: {k}") for k, v in data.params.items())
    tables = _tables(data.tables, params, f"{file}: tables")
    names = [*(p.name for p in params), *tables]
    derived = []
    for name, text in data.let.items():
        if not name.isidentifier() or name in (*_RESERVED, *names):
            raise UserError(f"{file}: let: {name!r}; accepted a new name of letters, digits and _")
        derived.append((name, fmt.formula(str(text), [*names, *poses(), *fmt.FRAMES], f"{file}: let: {name}")))
        names.append(name)
    captions: tuple[fmt.CaptionTemplate, ...] = ()
    rules: tuple[fmt.BankRule, ...] = ()
    if isinstance(data, _Action):
        if any(p.default is not None for p in params):
            raise UserError(f"{file}: params: default; accepted in schemas only")
        captions = read_captions(data.captions, names, MIN_CAPTIONS, file)
        for i, item in enumerate(data.bank, 1):
            rule = _BankRule.read(item, where := f"{file}: bank {i}")
            has = (rule.has,) if isinstance(rule.has, str) else tuple(rule.has)
            rules += (fmt.BankRule(rule.key or data.name, has, _condition(rule.when, names, where)),)
    starts = pose_or_formula(data.starts, names, f"{file}: starts")
    ends = starts if data.ends is None else pose_or_formula(data.ends, names, f"{file}: ends")
    keys = tuple(read_item(k, [*names, "i"], f"{file}: key {i + 1}") for i, k in enumerate(data.keys))
    settle = span(data.settle, names, f"{file}: settle")
    return fmt.Family(
        data.name, data.group, data.handed, starts, ends, params, captions, keys, settle, str(path), tuple(derived),
        rules, tuple(tables.items()),
    )  # fmt: skip


def load_lexicon(path: str | os.PathLike[str], schemas: Mapping[str, fmt.Family]) -> list[fmt.Family]:
    """The entries of one file, each a family that shares the keys of its schema."""
    file = Path(path).name
    with parsing(file, "a list of entries"):
        data = read_yaml(path)
        if not isinstance(data, list):
            raise UserError(f"{file}: accepted a list of entries")
        return [_entry(d, schemas, f"{file}: entry {i + 1}", str(path)) for i, d in enumerate(data)]


def _entry(data: object, schemas: Mapping[str, fmt.Family], where: str, path: str) -> fmt.Family:
    entry = _Entry.read(data, where)
    where = f"{Path(path).name}: {entry.name}"
    schema = schemas.get(entry.schema_name)
    if schema is None:
        raise UserError(f"{where}: schema {entry.schema_name!r}; accepted {', '.join(schemas)}")
    schema_params = {p.name: p for p in schema.params}
    entry_params = check_keys(entry.params, tuple(schema_params), f"{where}: params of {schema.name}")
    values = {n: p.default for n, p in schema_params.items() if p.default is not None} | entry_params
    params = tuple(narrow_param(p, values[n], f"{where}: {n}") if n in values else p for n, p in schema_params.items())
    names = [*schema_params, *(n for n, _ in (*schema.tables, *schema.derived))]
    captions = read_captions(entry.captions, names, MIN_ENTRY_CAPTIONS, where)
    family = replace(schema, name=entry.name, params=params, captions=captions, path=path, schema=schema.name)
    return family if entry.group is None else replace(family, group=entry.group)


def narrow_param(param: fmt.Param, value: object, where: str) -> fmt.Param:
    """The parameter as an entry narrows it: one value, a smaller choice or a smaller range.

    A choice may give words of its own to values of the schema: ``{choice: {a shelf: high, the floor: low}}``.
    """
    if not isinstance(value, dict):
        return _convert_choice(param, fmt.Param(param.name, (value,), (_word(value),)), where)
    new = read_param(param.name, value, where)
    if new.values:
        return _convert_choice(param, new, where)
    low, high = fmt.resolve(new.low, {}, where), fmt.resolve(new.high, {}, where)
    lowest, highest = _bounds(param, where)
    if param.values or not lowest <= low <= high <= highest:
        raise UserError(f"{where}: range [{low:g}, {high:g}]; accepted {list_accepted(param)}")
    return new


def list_accepted(param: fmt.Param) -> str:
    """What a parameter can be, in words."""
    if not param.values:
        return "numbers from {:g} to {:g}".format(*_bounds(param, param.name))
    return ", ".join(param.words)


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bounds(param: fmt.Param, where: str) -> tuple[float, float]:
    return fmt.resolve(param.low, {}, where), fmt.resolve(param.high, {}, where)


def _convert_choice(param: fmt.Param, new: fmt.Param, where: str) -> fmt.Param:
    """`new` with its values as the schema's expressions know them."""
    values, words = [], []
    for value, word in zip(new.values, new.words, strict=True):
        if param.values:
            at = next((i for i, v in enumerate(param.values) if value in (v, param.words[i])), None)
            if at is None:
                raise UserError(f"{where}: {value!r}; accepted {list_accepted(param)}")
            values.append(param.values[at])
            words.append(param.words[at] if word == _word(value) else word)
            continue
        lowest, highest = _bounds(param, where)
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= highest:
            raise UserError(f"{where}: {value!r}; accepted {list_accepted(param)}")
        values.append(value)
        words.append(word)
    return replace(new, values=tuple(values), words=tuple(words))
