"""Things and people that a text names, and which of them do not belong to a scene.

A word is at home in a scene when the sentence encoder finds it near the scene or one of its words; common words are at
home everywhere. Rules cut noun phrases; no parser is used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avatargpt.language.lemmas import lemma
from avatargpt.language.lexical import lemmas
from avatargpt.language.plans.marks import unmarked
from avatargpt.language.plans.people import PEOPLE
from instruct_data.text.english import GERUND, THIRD

if TYPE_CHECKING:
    from avatargpt.model.text_encoder import SentenceGrounder

COMMON = 40  # plans that name a word which is at home everywhere
HOME = 0.37  # cosine to the scene or one of its words from which a word belongs there
SEEN = 50_000  # pairs of a word and a scene that are remembered
KEPT_WORDS = 10_000  # vectors of words that are remembered, 15 MB
NATIVE = 0.47  # cosine from which nothing speaks against a word
_DETERMINERS = frozenset("a an the {his} {o_his} his her its their some another every two three four five".split())
_STOP = frozenset(
    """and or but then to from with by on in at of up down off out over under back away again around into through for
    as like along behind across past before after forward backward forwards backwards sideways once twice that who
    which while until onto toward towards above below between against beside near high low far still so inside outside
    upward downward overhead together apart home here there ahead first too not without than hard fast close times is
    are upright aside left right where when if several many few more six seven eight nine ten""".split()
)
_BODY = frozenset(
    """arm hand leg foot head knee finger thumb toe hip shoulder back chest belly stomach face eye ear nose mouth neck
    chin cheek elbow wrist palm fist heel body side forehead hair forearm thigh shin ankle calf lap brow temple breath
    tear tongue lip waist rib heart fingertip weight circle step stride turn air floor ground way place spot moment
    time end side front middle bit left right distance line row height level half pace second direction bow jump look
    smile sigh curve squat lunge crouch wave nod pose arc beat rhythm thing something someone nothing everything
    everybody spin dance run walk push pull kick punch swing""".split()
)
_NO_ADVERBS = frozenset("silly ugly friendly lively lonely curly jolly early elderly woolly wobbly belly jelly".split())
_KEEP = frozenset("left right both other one same last next first second own whole".split())


_TOKEN = re.compile(r"\{\^?\w+\}|[A-Za-z]+(?:[-'][A-Za-z]+)*|[^\sA-Za-z]")


def phrases(text: str) -> list[tuple[int, int, str]]:
    """(start, end, head) of every noun phrase with a determiner: character span and head noun."""
    tokens = [(m.start(), m.end(), m.group(0)) for m in _TOKEN.finditer(text)]
    out, i = [], 0
    while i < len(tokens):
        if tokens[i][2].lower() in _DETERMINERS:
            j = i + 1
            while j < len(tokens) and j - i < 5 and _inside(tokens[j][2], j == i + 1):
                j += 1
            if j > i + 1:
                out.append((tokens[i][0], tokens[j - 1][1], tokens[j - 1][2].lower()))
            i = max(j, i + 1)
        else:
            i += 1
    return out


def _inside(token: str, first: bool) -> bool:
    low = token.lower()
    if not token[0].isalpha() or low in _DETERMINERS or (low in _STOP and low not in _KEEP):
        return False
    if low.endswith("ly") and len(low) > 4 and low not in _NO_ADVERBS:
        return False
    return first or not ((low in THIRD or low in GERUND) and lemma(low) not in _BODY)


_COUNTS = frozenset("one two three four five every another some".split())
_NO_SOMETHING = frozenset("to of at like as than for about repeats does plays makes in into with all both".split())
_QUALITIES = frozenset("heavy big large small long round light low high flat soft thick thin wide tall".split())


class Props:
    """Which words belong to which scene.

    Args:
        plans: tasks and steps of every scene of the planning library; they say how common a word is.
        grounder: the sentence encoder, for words.
    """

    def __init__(self, plans: Sequence[Sequence[str]], grounder: SentenceGrounder) -> None:
        self.grounder = grounder
        counts = Counter(noun for texts in plans for noun in {n for text in texts for n in self._nouns(text)})
        share = max(len(plans), 1) / 2376
        self.common = {w for w, n in counts.items() if n >= max(3, COMMON * share)} | _BODY
        self._seen: dict[tuple[str, str], float] = {}
        self._words: dict[str, np.ndarray] = {}

    @staticmethod
    def _nouns(text: str) -> set[str]:
        return {lemma(head) for _, _, head in phrases(text)}

    def named(self, text: str, task: bool = False) -> list[str]:
        """Words of a text that may be foreign to a scene; of tasks every content word, of steps the nouns."""
        nouns = self._nouns(text)
        if task:
            plain = unmarked(text)
            verbs = {v for v in lemmas(plain) if any(f in THIRD or f in GERUND for f in (v, v + "s"))}
            nouns |= set(lemmas(plain)) - verbs
        return sorted(w for w in nouns if w not in self.common and len(w) > 2)

    def things(self, text: str) -> set[str]:
        """Nouns of a text less parts of the body and words of motion; ``someone`` counts."""
        return (self._nouns(text) - _BODY) | ({"someone"} if re.search(r"\b(?:someone|another)\b", text) else set())

    def home(self, words: list[str], scene: str) -> dict[str, float]:
        """How much each word belongs to a scene: the best cosine to the scene or to one of its words."""
        if len(self._seen) > SEEN:
            self._seen.clear()
        missing = [w for w in dict.fromkeys(words) if (w, scene) not in self._seen]
        if missing:
            own = list(dict.fromkeys(lemmas(scene)))[:24]
            around = np.concatenate([self.grounder.sentence([scene]), self._of_words(own)])
            cosine = self._of_words(missing) @ around.T
            self._seen.update({(w, scene): float(c) for w, c in zip(missing, np.max(cosine, axis=1), strict=True)})
        return {w: self._seen[w, scene] for w in words}

    def _of_words(self, words: list[str]) -> np.ndarray:
        """(n, 384) vectors of single words; scenes have most of theirs in common, so they are kept."""
        if len(self._words) > KEPT_WORDS:
            self._words.clear()
        missing = [w for w in words if w not in self._words]
        if missing:
            self._words.update(zip(missing, self.grounder.sentence(missing), strict=True))
        return np.stack([self._words[w] for w in words]) if words else np.zeros((0, 384), np.float32)

    def strangeness(self, text: str, scene: str, task: bool = False) -> list[float]:
        """Of every word that may be foreign, from 0 (said in the scene, or close to it) to 1 (foreign)."""
        home = self.home(self.named(text, task), scene)
        return [min(max((NATIVE - h) / (NATIVE - HOME), 0.0), 1.0) for h in home.values()]

    def foreign(self, text: str, scene: str, task: bool = False) -> list[str]:
        """Words that do not belong."""
        words = self.named(text, task)
        home = self.home(words, scene)
        return [w for w in words if home[w] < HOME]


def generalise(step: str, foreign: list[str]) -> str | None:
    """A step with every noun phrase whose head is foreign replaced: a person by someone, a thing by something.

    Returns:
        The step, or None where the phrase cannot be replaced without making nonsense ("like a crab", "one rung").
    """
    out = step
    for start, end, head in reversed(phrases(step)):
        if lemma(head) not in foreign:
            continue
        words = step[start:end].split()
        before = step[:start].split()[-1:]
        if words[0] in _COUNTS or (before and before[0] in _NO_SOMETHING):
            return None
        kept = [w for w in words[1:-1] if w in _QUALITIES]
        people = lemma(head) in PEOPLE
        said = ("someone" if people else "something") + (" " + kept[0] if kept and not people else "")
        if step[end : end + 2] == "'s":
            said = said.split()[0]
        out = out[:start] + said + out[end:]
    return out
