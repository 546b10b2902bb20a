"""A small rule lemmatiser for motion captions, so that text scores on lemmas need no downloaded model.

A list of irregular forms, then suffix rules for -s, -ing and -ed with undoubling and, for the verbs listed, the -e put
back. It knows no parts of speech and errs on rare words, in the same way for candidate and reference.
"""

from __future__ import annotations

from functools import lru_cache

_FORMS = {
    "be": "is are was were am been being", "have": "has had having", "do": "does did done doing", "a": "an",
    "go": "goes went gone going", "run": "ran", "stand": "stood", "sit": "sat", "swing": "swung", "bend": "bent",
    "throw": "threw thrown", "hold": "held", "take": "took taken", "come": "came", "lie": "lay lain lying",
    "rise": "rose risen", "fall": "fell fallen", "get": "got gotten", "make": "made", "keep": "kept", "leap": "leapt",
    "kneel": "knelt", "creep": "crept", "swim": "swam swum", "spin": "spun", "shake": "shook shaken", "lead": "led",
    "put": "putting", "hit": "hitting", "foot": "feet", "man": "men", "woman": "women", "person": "people persons",
    "half": "halves", "fling": "flung", "begin": "began begun", "stride": "strode", "strike": "struck", "tie": "tying",
    "catch": "caught", "bring": "brought", "drive": "drove driven", "ride": "rode ridden", "dive": "dove",
}  # fmt: skip
_IRREGULAR = {form: base for base, forms in _FORMS.items() for form in forms.split()}
# End like an inflection but are none. "left" is a side in captions far more often than the past of "leave".
_NO_SUFFIX = """
his this its always across towards forwards backwards upwards downwards sideways afterwards besides perhaps during
thing something anything nothing everything morning evening ceiling bring fling spring string swing cling hundred
indeed speed bleed proceed exceed succeed need feed seed left
"""
_VERBS_IN_E = """
move wave dance raise place face pace make take shake come give leave live use close squeeze slide glide ride hide
write drive dive bake stride strike balance bounce prance circle juggle stumble wobble waddle shuffle rotate imitate
gesture pose rise smoke type wipe swipe slice chase race trace change arrange lunge plunge charge challenge exercise
practice practise continue pause argue rescue dodge nudge emerge prepare stare explore define shine time name skate
create wake like invite celebrate hesitate meditate alternate operate demonstrate taste handle cradle paddle hustle
wrestle jiggle wiggle scramble amble tumble double hobble curve serve observe receive achieve involve revolve nurse
reverse brace embrace produce reduce introduce advance glance complete compete shove score share stroke poke joke hope
cope bike hike freeze sneeze inhale exhale scale resume assume pirouette appreciate saddle straddle struggle twiddle
fumble tremble
"""
_KEEP = frozenset(_NO_SUFFIX.split())
_ENDING_IN_E = frozenset(verb[:-1] for verb in _VERBS_IN_E.split())


def _base(stem: str) -> str:
    """A verb's base from what is left after -ing or -ed."""
    if stem in _ENDING_IN_E:
        return stem + "e"
    if len(stem) > 2 and stem[-1] == stem[-2] and stem[-1] not in "aeioulsz":
        return stem[:-1]
    return stem


@lru_cache(maxsize=50_000)
def lemma(word: str) -> str:
    """Lemma of one lower-case word: ``walks`` -> ``walk``, ``waving`` -> ``wave``, ``stepped`` -> ``step``."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word in _KEEP or len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ing") and len(word) > 5:
        return _base(word[:-3])
    if word.endswith("ied"):
        return word[:-3] + "y"
    if word.endswith("ed") and len(word) > 4:
        return _base(word[:-2])
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
