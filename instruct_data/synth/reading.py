"""Reading the controls and keys of action files, strictly: what is not understood is an error that names its place."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from instruct_data.synth.expressions import Formula, Scope, formula, number
from instruct_data.synth.format import CONTACTS, EASES, FEET, FRAMES, HANDS, Block, Key, Limb, Number
from vqvae.errors import UserError
from vqvae.io.data_files import read_yaml

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
    one = number(value, names, where)
    if isinstance(one, float) and one < 0:
        raise UserError(f"{where}: {value!r}; accepted seconds of at least 0")
    return one, one


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
    given = limb.origin
    origin = _other_side(given) if isinstance(given, str) else lambda scope: _other_side(given(scope))
    return Limb(limb.mode, numbers, origin, limb.when)


def _other_side(name: str) -> str:
    return {"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:]


def read_controls(data: Mapping[str, Any], names: Collection[str], where: str) -> dict[str, Any]:
    """The controls among the keys of `data`; `both_hands` and `both_feet` (written for the right side) spread out.

    Raises:
        UserError: a control that cannot be read.
    """
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
    """The base pose that a name or formula means.

    Raises:
        UserError: no such pose.
    """
    known = poses()
    got = value if isinstance(value, str) else value({**{p: p for p in known}, "free": "free", **scope})
    if got not in known and not (got == "free" and where.endswith("ends")):
        raise UserError(f"{where}: the pose is {got!r}; accepted {', '.join(known)}")
    return str(got)
