"""The classes of an action file after loading; :mod:`.loading` reads them, :mod:`.timeline` draws clips from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from instruct_data.synth.expressions import Formula, Scope
from vqvae.errors import UserError

GROUPS = ("posture", "hands", "objects", "gestures", "locomotion", "sport", "music", "contact")
SIDES = ("right", "none")
EASES = ("minjerk", "snap", "linear", "drop", "swing")
CONTACTS = ("l_foot", "r_foot", "pelvis", "l_knee", "r_knee", "l_hand", "r_hand")
FRAMES = ("stage", "pelvis", "chest", "head", "l_shoulder", "r_shoulder", "l_hand", "r_hand", "l_knee", "r_knee")
FRAME_NAMES = {name: name for name in FRAMES}
HANDS, FEET = ("l_hand", "r_hand"), ("l_foot", "r_foot")
# The controls of a key, in solving order. Every one is a row of numbers and, for limbs, a mode.
CONTROLS = ("pelvis", "pelvis_rot", "spine", "head", "gaze", "l_shoulder", "r_shoulder", "l_hand", "r_hand",
            "l_foot", "r_foot")  # fmt: skip

Number = Formula | float


@dataclass(frozen=True, eq=False)
class Param:
    """A number or word drawn once per clip.

    Attributes:
        name: as used in expressions and captions.
        values: what expressions see, one per choice; empty for a range.
        words: what captions say, one per choice.
        low, high: the range, for a parameter without choices.
        weights: of the choices, summing to 1; empty = equal.
        default: of a schema's parameter: what it is where an entry does not say; None = all that it can be.
    """

    name: str
    values: tuple[Any, ...] = ()
    words: tuple[str, ...] = ()
    low: Number = 0.0
    high: Number = 0.0
    weights: tuple[float, ...] = ()
    default: Any = None


@dataclass(frozen=True, eq=False)
class Limb:
    """A hand or foot setting before its numbers are known. Modes: ``at``, ``angles``, ``palm``, ``rest``, ``free``."""

    mode: str
    numbers: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    origin: str | Formula = "stage"
    when: Formula | None = None

    def frame(self, scope: Scope, where: str) -> int:
        """Index into FRAMES of what the place is given from.

        Raises:
            UserError: a formula gives something else than a name in FRAMES.
        """
        name = self.origin if isinstance(self.origin, str) else self.origin({**FRAME_NAMES, **scope})
        if name not in FRAMES:
            raise UserError(f"{where}: from is {name!r}; accepted {', '.join(FRAMES)}")
        return FRAMES.index(name)

    @cached_property
    def plain(self) -> dict[str, list[float]] | None:
        """The numbers if there is no formula among them; not to be changed."""
        if any(callable(n) for v in self.numbers.values() for n in v):
            return None
        return {k: [float(n) for n in v if not callable(n)] for k, v in self.numbers.items()}


@dataclass(frozen=True, eq=False)
class Key:
    """One key pose.

    Attributes:
        where: file and place, for messages.
        after, hold: ranges in seconds.
        controls: control -> numbers (body controls; None for ``free``), or a limb's settings, of which the first that
            holds counts.
        pose: name of a base pose (or a formula giving one), or None.
        ease, anticipate, overshoot, air, balance: see the format.
        contacts: what carries weight from here on; None = unchanged.
        when: condition, or None.
    """

    where: str
    after: tuple[Number, Number]
    hold: tuple[Number, Number] | None
    controls: Mapping[str, Any]
    pose: str | Formula | None = None
    ease: str = "minjerk"
    anticipate: Number = 0.0
    overshoot: Number = 0.0
    air: bool = False
    balance: bool | None = None
    contacts: tuple[str, ...] | None = None
    when: Formula | None = None


@dataclass(frozen=True, eq=False)
class Block:
    """Keys that are repeated; `advance` and `turn` move the stage frame after every round."""

    where: str
    repeat: Number
    keys: tuple[Key | Block, ...]
    advance: tuple[Number, ...] = (0.0, 0.0, 0.0)
    turn: Number = 0.0
    when: Formula | None = None


@dataclass(frozen=True, eq=False)
class Caption:
    """A sentence with {placeholders} and the condition under which it is true."""

    text: str
    when: Formula | None = None


@dataclass(frozen=True, eq=False)
class BankRule:
    """Sentences of the caption bank that are true of a clip.

    Attributes:
        key: action of the bank.
        has: a sentence that contains one of these is meant.
        when: under this condition.
    """

    key: str
    has: tuple[str, ...]
    when: Formula | None = None


@dataclass(frozen=True, eq=False)
class Family:
    """An action family.

    Attributes:
        name: class and key of the caption bank.
        group: one of GROUPS.
        handed: ``right`` (mirrored at random, words too) or ``none``.
        starts, ends: base poses, or formulas giving their names.
        params, captions, keys: see there.
        tables: columns of the tables: names whose values go with the value of a parameter.
        derived: names computed from the parameters, in order.
        bank: which of the caption bank's sentences hold; without a rule none is used.
        settle: range of the quiet end, seconds.
        path: where it was read from.
        schema: name of the schema of an entry of the lexicon, "" for an action with a file of its own.
    """

    name: str
    group: str
    handed: str
    starts: str | Formula
    ends: str | Formula
    params: tuple[Param, ...]
    captions: tuple[Caption, ...]
    keys: tuple[Key | Block, ...]
    settle: tuple[Number, Number]
    path: str
    derived: tuple[tuple[str, Formula], ...] = ()
    bank: tuple[BankRule, ...] = ()
    tables: tuple[tuple[str, Formula], ...] = ()
    schema: str = ""
