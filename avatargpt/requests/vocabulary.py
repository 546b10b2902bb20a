"""Tokens that a request is written in, and which may follow which."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from instruct_data.requests.pairs import OPENING, ORDER
from instruct_data.requests.spec import ATTRIBUTES
from instruct_data.requests.ways import CHOICES, COPIED, VALUES, WHOLE
from instruct_data.requests.wording import is_numeral

OPEN = tuple(OPENING.values())
CONSTANTS = tuple(
    f"#{v:g}"
    for v in (*range(1, 21), 24, 25, 30, 40, 45, 50, 60, 70, 72, 75, 80, 90, 99, 100, 120, 135, 150, 180, 200, 225, 240,
              270, 300, 315, 360, 450, 480, 540, 600, 630, 720, 900, 1000, 1080, 1440, 1800,
              0.1, 0.2, 0.25, 0.3, 0.33, 0.4, 0.5, 0.6, 0.67, 0.7, 0.75,
              0.8, 0.9, 1.1, 1.2, 1.25, 1.3, 1.4, 1.5, 1.75, 2.5, 3.5, 4.5, 5.5, 7.5, 12.5, 22.5)
)  # fmt: skip
LONGEST = 110  # tokens of a target
MOST_CLAUSES = 12  # of one
LINKS = ("-", "and", "a")  # within a number
FACE = (
    "times", "seconds", "minutes", "until_end", "tempo", *ORDER[ORDER.index("at") : ORDER.index("of")],
    "total_s", "total_min",
    "alternating", "rounds", "in_all",
)  # fmt: skip
SAID_OF = {
    "body": {"new", "with", "not", *ATTRIBUTES, "minutes", "unknown", "whole", *WHOLE[: WHOLE.index("alternating")]},
    "face": {"new", "with", "not", "whole", *FACE},
    "chat": {"act", "times", "seconds", "minutes", "factor", "size", "of", "where", "to_of", "what", "topic"},
}
"""Tokens of each domain's requests."""
BARE = tuple(t for t in OPEN if t.startswith("act="))  # openings that need no words


class Vocabulary:
    """The V tokens; places of words follow them: V + i is word i.

    Attributes:
        tokens: by number.
    """

    def __init__(self) -> None:
        said: list[str] = ["end", *OPEN, "whole"]
        for name in (*ORDER, *WHOLE):
            if name in CHOICES:
                said += [f"{name}={v}" for v in CHOICES[name]]
            elif name in VALUES or name in COPIED:
                said.append(f"{name}=")
        self.tokens = list(dict.fromkeys([*said, *CONSTANTS]))
        self.number = {t: i for i, t in enumerate(self.tokens)}
        # of an attribute: its place in the order of a clause, or of the whole
        self.place = np.full(len(self.tokens), -1)
        for i, token in enumerate(self.tokens):
            name = token.partition("=")[0]
            if "=" in token and token not in OPEN:
                self.place[i] = ORDER.index(name) if name in ORDER else len(ORDER) + 1 + WHOLE.index(name)
        self.place[self.number["whole"]] = len(ORDER)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def _domains(self) -> dict[str, np.ndarray]:
        names = [t.partition("=")[0] for t in self.tokens]
        return {d: np.array([n in said or n == "end" or n[:1] == "#" for n in names]) for d, said in SAID_OF.items()}

    @cached_property
    def _kind(self) -> dict[str, np.ndarray]:
        names = [t.partition("=")[0] for t in self.tokens]
        return {
            "value": np.array([t.endswith("=") and n in VALUES for t, n in zip(self.tokens, names, strict=True)]),
            "copied": np.array([t.endswith("=") and n in COPIED for t, n in zip(self.tokens, names, strict=True)]),
            "constant": np.array([t.startswith("#") for t in self.tokens]),
            "open": np.array([t in OPEN for t in self.tokens]),
        }

    def encode(self, target: Sequence[str | int]) -> list[int]:
        """Numbers of a target's tokens and words.

        Raises:
            KeyError: a token that is none.
        """
        return [len(self) + t if isinstance(t, int) else self.number[t] for t in target]

    def decode(self, numbers: Sequence[int]) -> list[str | int]:
        return [self.tokens[i] if i < len(self) else i - len(self) for i in numbers]

    def allowed(self, before: Sequence[int], words: Sequence[str], domain: str = "body") -> np.ndarray:
        """(V + N,) which tokens, and which of the N words, may follow in a request of a domain.

        An action has a word at least; attributes stand in their order, each at most once; a number is one constant, or
        numerals in a row.
        """
        size, n = len(self), len(words)
        out = np.zeros(size + n, bool)
        if len(before) >= LONGEST - 2:
            out[0] = True
            return out
        if not before:
            out[:size] = self._kind["open"] & self._domains[domain]
            out[self.number["with"]] = False
            return out
        last = before[-1]
        head = next(
            (i for i in range(len(before) - 1, -1, -1) if before[i] < size and not self._kind["constant"][before[i]]), 0
        )
        heading = before[head]
        copies = [i - size for i in before[head + 1 :] if i >= size]
        fresh = np.ones(n, bool)
        if copies:
            fresh[copies] = False
        if self._kind["value"][heading] and last == heading or copies and self._kind["value"][heading]:
            numerals = np.array([is_numeral(w) for w in words], bool)
            if last == heading:
                out[:size] = self._kind["constant"]
                out[size:] = numerals
                return out
            following = last - size + 1
            for _ in range(2):  # "forty-five", "a hundred and ten", "two and a half"
                following += following < n - 1 and words[following] in LINKS
            if following < n and numerals[following]:
                out[size + following] = True
        elif self._kind["open"][heading] or self._kind["copied"][heading]:
            out[size:] = fresh
            if last == heading and self.tokens[heading] not in BARE:
                return out
        # what may stand behind something complete
        place = self.place[heading]
        if self._kind["open"][heading]:
            place = -1
        whole = place >= len(ORDER)
        out[:size] |= (self.place > place) & ((self.place <= len(ORDER)) | whole)
        if heading != self.number["whole"]:
            out[self.number["end"]] = True
        if not whole and sum(self._kind["open"][i] for i in before if i < size) < MOST_CLAUSES:
            out[:size] |= self._kind["open"]
        out[:size] &= self._domains[domain]
        return out
