"""Texts: verb forms, clauses, mirroring, variation, the caption bank, rewrites and everyday requests."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from avatargpt.train.command import main, parse_options
from instruct_data.face.score import read_instructions
from instruct_data.factory.dialogues import read_dialogues
from instruct_data.factory.text.captions import (
    CaptionBank,
    bank_style,
    compose,
    gerund,
    imperative,
    infer_action,
    keywords,
    vary,
    with_subject,
)
from instruct_data.factory.text.everyday import Everyday, everyday, everyday_requests, lexicon, predicates
from instruct_data.factory.text.rewrites import Rewrites
from instruct_data.factory.texts import NAMES, unpack_texts
from instruct_data.text.english import (
    convert,
    finite_verbs,
    first_verb,
    gerund_of,
    mirror_action,
    mirror_text,
    side_of,
    split,
    third_of,
    tokens,
)
from vqvae.errors import UserError


@pytest.mark.parametrize(
    ("third", "base", "ing"),
    [
        ("walks", "walk", "walking"), ("waves", "wave", "waving"), ("runs", "run", "running"),
        ("carries", "carry", "carrying"), ("punches", "punch", "punching"), ("goes", "go", "going"),
        ("does", "do", "doing"), ("lies", "lie", "lying"), ("ties", "tie", "tying"), ("is", "be", "being"),
        ("has", "have", "having"), ("stays", "stay", "staying"), ("begins", "begin", "beginning"),
        ("opens", "open", "opening"), ("tiptoes", "tiptoe", "tiptoeing"), ("sees", "see", "seeing"),
        ("squats", "squat", "squatting"), ("throws", "throw", "throwing"), ("boxes", "box", "boxing"),
        ("sidesteps", "sidestep", "sidestepping"), ("kneels", "kneel", "kneeling"), ("skips", "skip", "skipping"),
        ("dribbles", "dribble", "dribbling"), ("veers", "veer", "veering"), ("hits", "hit", "hitting"),
        ("practises", "practise", "practising"), ("presses", "press", "pressing"), ("signals", "signal", "signaling"),
        ("lowers", "lower", "lowering"), ("whips", "whip", "whipping"), ("tries", "try", "trying"),
    ],
)  # fmt: skip
def test_verb_forms(third, base, ing):
    assert third_of(base) == third
    assert gerund_of(base) == ing


@pytest.mark.parametrize(
    ("predicate", "base", "ing"),
    [
        ("walks forward and waves", "walk forward and wave", "walking forward and waving"),
        ("bends both knees and leaps", "bend both knees and leap", "bending both knees and leaping"),
        ("performs a kata with punches and blocks", "perform a kata with punches and blocks",
         "performing a kata with punches and blocks"),
        ("takes a few steps and makes a left turn", "take a few steps and make a left turn",
         "taking a few steps and making a left turn"),
        ("runs, jumps, stops and runs again", "run, jump, stop and run again",
         "running, jumping, stopping and running again"),
        ("is walking and makes a turn", "walk and make a turn", "walking and making a turn"),
        ("keeps walking", "keep walking", "walking"),
        ("slowly turns left", "slowly turn left", "slowly turning left"),
        ("lowers both arms with sharp, lively motions", "lower both arms with sharp, lively motions",
         "lowering both arms with sharp, lively motions"),
    ],
)  # fmt: skip
def test_predicates(predicate, base, ing):
    assert convert(predicate, "base") == base
    assert convert(predicate, "gerund") == ing


def test_progressive_and_third():
    assert convert("walks forward", "progressive") == "is walking forward"
    assert convert("is waving with the left hand", "third") == "waves with the left hand"
    assert convert("colourless green ideas", "base") is None
    assert finite_verbs("walks and turns") == [0, 4]


def test_split():
    clause = split("with feet planted, a young person raises both hands.")
    parts = ("with feet planted", "a young person", "raises both hands")
    assert (clause.lead, clause.subject, clause.predicate) == parts
    assert not clause.neutral and split("someone walks").neutral
    assert clause.verb_phrase("base") == "raise both hands with feet planted"
    assert split("the left arm rises while a person stands still") is None
    assert split("a slow walk forward.") is None
    assert split("the figure raises the hand, then drops it").predicate == "raises the hand, then drops it"
    assert "".join(tokens("a, b-c 'd'!")) == "a, b-c 'd'!"
    assert first_verb(["no verb here", "the person is dancing a salsa."]) == "dance"


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("a person waves the left hand", "a person waves the right hand"),
        ("turns Left, then RIGHT", "turns Right, then LEFT"),
        ("from left to right", "from right to left"),
        ("walks clockwise", "walks counterclockwise"),
        ("turn anti-clockwise", "turn clockwise"),
        ("a left-handed, rightward throw", "a right-handed, leftward throw"),
        ("he left the room", "he left the room"),
        ("she has left.", "she has left."),
        ("with no strength left", "with no strength left"),
        ("with no strength left in the left arm", "with no strength left in the right arm"),
        ("all right, stand upright right away", "all right, stand upright right away"),
        ("turns right after a few steps", "turns left after a few steps"),
        ("walks, and right after that turns right", "walks, and right after that turns left"),
        ("right in front of the door", "right in front of the door"),
        ("a right angle", "a right angle"),
        ("goes to the left for a while", "goes to the right for a while"),
        ("punches left then right", "punches right then left"),
        ("jump left, right, left", "jump right, left, right"),
        ("he is left-handed", "he is right-handed"),
        ("right hand up", "left hand up"),
        ("raises the left", "raises the right"),
        ("lefty", "righty"),
    ],
)  # fmt: skip
def test_mirror(text, mirrored):
    assert mirror_text(text) == mirrored


def test_mirror_actions_and_sides():
    assert mirror_action("walk-turn-left") == "walk-turn-right"
    assert mirror_action("raise_up_right_hand") == "raise_up_left_hand"
    assert mirror_action("bow") == "bow"
    assert side_of("waves the left hand") == "left"
    assert side_of("left hand, then right hand") == "both"
    assert side_of("he left, all right") is None
    assert side_of("upright") is None


def test_forms():
    assert imperative("a person waves the left hand.") == "wave the left hand"
    assert imperative("an old man walks forward slowly.") == "walk forward slowly like an old man"
    assert gerund("someone walks forward", "a man") == "a man walking forward"
    assert keywords("a person waves the left hand happily") == "wave left hand happily"
    assert with_subject("the figure runs", "he") == "he runs"
    assert with_subject("an old man runs", "she") is None
    assert imperative("the left arm rises while a person stands still") is None


def test_vary_keeps_sides_and_is_deterministic():
    caption = "someone keeps the right arm down and lifts the left one tiredly."
    texts = [vary(caption, np.random.default_rng(s)) for s in range(200)]
    assert texts == [vary(caption, np.random.default_rng(s)) for s in range(200)]
    assert len(set(texts)) > 30
    for text in texts:
        low = text.lower()
        assert "right arm" in low and "left" in low and low.index("right") < low.index("left") and "tired" in low


def test_vary_keeps_telling_subjects_and_unknown_sentences():
    for s in range(300):
        assert "old man" in vary("an old man walks forward", np.random.default_rng(s)).lower()
        assert vary("Zorp blarg", np.random.default_rng(s)).rstrip(".").lower() == "zorp blarg"


def test_real_captions_can_be_taken_apart(shared):
    rows = [json.loads(line) for line in (shared / "data/body/captions.jsonl").open(encoding="utf-8")]
    captions = sorted({c for r in rows if r["split"] == "train" for c in r["captions"]})
    phrases = [imperative(c) for c in captions]
    assert sum(p is not None for p in phrases) > 0.93 * len(captions)
    swapped = [mirror_text(c) for c in captions]
    assert [mirror_text(c) for c in swapped] == captions
    for caption, phrase in zip(captions, phrases, strict=True):
        if phrase is not None and split(caption).neutral:
            assert side_of(phrase) == side_of(caption), caption


BANK = {
    "actions": {
        "walk": ["{person} walks forward {manner}", "{person} makes three steps", "with bent arms {person} walks"],
        "wave_left_hand": ["{person} waves the left hand {manner}", "{person} waves above the head with the left arm"],
        "wave_right_hand": ["{person} waves the right hand {manner}"],
        "guide": ["{person} shows the way with the right hand", "{person} shows the way {manner}"],
    },
    "styles": {
        "normal": {"adverbs": ["calmly"], "phrases": ["as usual"], "person": ["a person", "someone", "the figure"]},
        "elderly": {"adverbs": ["slowly"], "phrases": ["with a stoop"], "person": ["an old man"]},
        "sad": {"adverbs": ["sadly"], "phrases": ["in a sad mood"], "person": ["a person", "someone", "the figure"]},
    },
    "compose": ["{a}, then {b}", "first {a}; after that {b}", "{a}, then {b}, then {c}"],
}
LINES = [
    {"prompt": "off you go", "plain": ["a person walks forward"], "actions": ["walk"], "styles": [None], "side": None},
    {"prompt": "funeral pace", "plain": ["a person walks sadly"], "actions": ["walk"], "styles": ["sad"], "side": None},
    {"prompt": "hail the bus", "plain": ["a person waves the left hand"], "actions": ["wave_left_hand"],
     "styles": [None], "side": "left"},
    {"prompt": "tightrope", "plain": ["a person walks with outstretched wings"], "actions": ["walk"], "styles": [None],
     "side": None},
    {"prompt": "hi and bye", "plain": ["a person waves the left hand", "a person walks"],
     "actions": ["wave_left_hand", "walk"], "styles": [None, None], "side": "left"},
]  # fmt: skip


@pytest.fixture
def bank(tmp_path):
    path = tmp_path / "bank.json"
    path.write_text(json.dumps(BANK))
    return CaptionBank(path)


@pytest.fixture
def rewrites(tmp_path, bank):
    path = tmp_path / "rewrites.jsonl"
    path.write_text("\n".join(json.dumps(x) for x in LINES))
    return Rewrites(path, bank)


def test_templates_that_claim_too_much_are_left_out(bank):
    assert all("three" not in t for t in bank.templates("walk"))
    assert bank.templates("guide") == ["{person} shows the way {manner}"]
    assert len(bank.templates("guide", side="right")) == 2
    assert len(bank.templates("guide", side="left")) == 1
    assert len(bank.templates("wave_left_hand")) == 1
    assert len(bank.templates("wave_left_hand", high=True)) == 2


def test_paraphrases_say_the_style_and_the_side(bank):
    for s in range(100):
        text = bank.paraphrase("wave-left-hand", "old", np.random.default_rng(s))
        assert side_of(text) == "left"
        assert any(w in text for w in ("slowly", "stoop", "old man"))
        assert "{" not in text and "  " not in text
    assert bank.paraphrase("fly", "normal", np.random.default_rng(0)) is None
    assert bank_style("masculinity") == "masculinity-exaggerated" and bank_style("") == "normal"


def test_infer_action():
    assert infer_action(["a person dances salsa.", "someone performs salsa steps."]) == "salsa_dance"
    assert infer_action(["a person walks.", "someone is walking forward."]) == "walk"
    assert infer_action(["a person walks and turns left."]) == "walk_turn_left"
    assert infer_action(["a person walks and climbs up a frame."]) == ""
    assert infer_action(["a person does jumping jacks."]) == ""
    assert infer_action(["a person walks.", "a person dances salsa."]) == ""
    assert infer_action([]) == ""


def test_compose_keeps_order_and_everything(bank):
    for s in range(300):
        rng = np.random.default_rng(s)
        text = bank.compose(["A person walks forward.", "someone waves the left hand."], rng).lower()
        walk, wave = text.find("walk"), text.find("wav")
        assert 0 <= walk < wave, text
        assert "left hand" in text and ".," not in text and "{" not in text and not text.endswith(".")


def test_compose_makes_what_people_type(bank):
    captions = ["a person walks forward", "a person waves with the left hand"]
    texts = {compose(captions, np.random.default_rng(s)) for s in range(400)}
    assert "a person walks forward and waves with the left hand" in texts
    assert "walk forward, then wave with the left hand" in texts
    assert any("before waving" in t for t in texts)
    assert any(t.startswith("after walking forward, wave") for t in texts)
    assert not any("like a person" in t for t in texts)


def test_compose_three_and_unsplittable(bank):
    for s in range(100):
        rng = np.random.default_rng(s)
        text = bank.compose(["a person walks", "the left arm rises as a person stands", "someone bows"], rng)
        assert text.find("walk") < text.find("left arm rises") < text.find("bow")
        assert "old man" in bank.compose(["a person walks", "an old man bows"], rng), "later styles survive"
    assert compose(["a slow walk.", "jump"], np.random.default_rng(0)) == "a slow walk, then jump"


def test_lexicon_is_sound():
    data = lexicon()
    for action in data["actions"]:
        named = side_of(action.replace("_", " "))
        for side in ("left", "right"):
            for p in predicates(action, side):
                assert split(f"a person {p}") is not None and "SIDE" not in p, p
                assert named not in ("left", "right") or side_of(p) == named, p
        assert predicates(action)
    assert set(predicates("walk-turn-left")).isdisjoint(predicates("walk-turn-right"))
    rng = np.random.default_rng(0)
    assert everyday("juggle", "normal", rng) is None
    last_words = {w.split()[-1] for w in data["styles"]["sad"]}
    assert {everyday("bow", "sad", rng).split()[-1] for _ in range(50)} <= last_words
    with pytest.raises(UserError, match="no style 'purple'"):
        everyday("walk", "purple", rng)


def test_rewrites_fit_action_style_and_side(rewrites):
    assert rewrites.for_action("walk", "normal") == ["off you go"]
    assert rewrites.for_action("walk", "sad") == ["funeral pace"]
    assert rewrites.for_action("wave-left-hand", "normal") == ["hail the bus"]
    assert rewrites.for_action("wave-left-hand", "normal", "right") == []
    # the request of the other side serves it mirrored; without a side in its words it is the same
    assert rewrites.for_action("wave-right-hand", "normal") == ["hail the bus"]
    assert rewrites.pairs()[-1] == ("hi and bye", "a person waves the left hand; a person walks")


def test_bad_files(tmp_path, bank):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"prompt": "x"}\n')
    with pytest.raises(UserError, match="bad.jsonl: line 1"):
        Rewrites(bad, bank)
    (tmp_path / "bank2.json").write_text('{"actions": {}}')
    with pytest.raises(UserError, match="not a caption bank"):
        CaptionBank(tmp_path / "bank2.json")
    with pytest.raises(UserError, match="no such file"):
        CaptionBank(tmp_path / "none.json")


def test_real_bank_covers_the_corpus(shared):
    bank = CaptionBank(shared / "data/text/body_captions.json")
    rows = [json.loads(line) for line in (shared / "data/body/captions.jsonl").open(encoding="utf-8")]
    rng = np.random.default_rng(0)
    for action, style in sorted({(r["action"], r["style"]) for r in rows if r.get("action")}):
        assert bank_style(style) in bank.styles
        text = bank.paraphrase(action, style, rng)
        side = side_of(action.replace("-", " "))
        assert text and "{" not in text
        if side in ("left", "right"):
            assert side_of(text) in (side, "both") or "clockwise" in text, text
        else:
            assert side_of(text) in (None, "both"), text
        assert everyday(action, style, rng, "left")
    rewrites = Rewrites(shared / "data/text/rewrites_train.jsonl", bank)
    fits = [bool(rewrites.for_action(r["action"], r["style"])) for r in rows if r.get("action")]
    assert np.mean(fits) > 0.5


def test_packaged_texts_are_read_as_the_stages_read_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert len(CaptionBank(unpack_texts("text") / "body_captions.json").actions) > 80
    assert len(read_dialogues(unpack_texts("chat") / "train.jsonl")) > 100
    assert sum(1 for _ in read_instructions(unpack_texts("face_text"))) > 1000
    assert (unpack_texts("planning") / "val.jsonl").is_file()
    before = (unpack_texts("chat") / "val.jsonl").stat().st_mtime_ns
    assert (unpack_texts("chat") / "val.jsonl").stat().st_mtime_ns == before, "a folder is unpacked once"


def test_options_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    names = {"--config": "x.yaml", "--tokenizer": "t", "--codes": "c", "--texts": "package:text", "-o": "out"}
    args = parse_options(["language", *(word for option in names.items() for word in option)])
    assert (Path(args.texts) / "rewrites_train.jsonl").is_file()
    assert main(["ground", "--store", "s", "--texts", "package:nothing", "-o", "out"]) == 2
    assert f"accepted: {', '.join(f'package:{n}' for n in NAMES)}" in capsys.readouterr().err


MAX_WORDS = 12
TEXT = re.compile(r"(?:SIDE|[a-z0-9])(?:SIDE|[a-z0-9 ,.'?-])*")
FILE = everyday_requests()
requests, style_words = FILE.requests, FILE.style_words
FAMILIES = """
sit_and_turn get_up crouch touch_toes jumping_jack fall_and_get_up duck dodge cross_arms hands_on_hips lean push_up
sit_up nod shake_head salute raise_knees put_down eat knock open_door reach beckon wave pray type phone dig chop saw
circle_arms raise_hand climb_stairs climb_ladder sidestep tiptoe walk_on_the_spot jog_on_the_spot swing_bat golf
tennis bowl dribble
shoot boxing block play_drums play_piano play_violin row ski skate_glide dance_step cycle
""".split()
BROAD = """
walk run jog dash walk_back walk_turn_left walk_turn_right wave_left_hand wave_right_hand wave_both_hands
raise_up_left_hand raise_up_right_hand raise_up_both_hands bow jump punch kick dance_short sit_down
""".split()
STYLES = """
elderly exhausted happy sad proud angry giant not-confident childlike feminine masculine active youthful chimpira zombie
drunk sneaky robotic elegant fearful
""".split()


def plain_form(text: str) -> str:
    """Letters and digits alone: two texts must not share them."""
    return " ".join(re.findall(r"[a-z0-9]+|SIDE", text))


def test_every_class_of_the_bank_has_requests(shared):
    bank = json.loads((shared / "data" / "text" / "body_captions.json").read_text())
    assert len(bank["actions"]) == 86
    assert min(len(requests(key)) for key in bank["actions"]) >= 40
    for style in set(bank["styles"]) - {"normal"}:
        assert len(style_words(style)) >= 30, style


def test_families_beside_the_bank_and_the_commonest_classes_have_many_requests():
    assert {k: n for k in FAMILIES if (n := len(requests(k))) < 40} == {}
    assert {k: n for k in BROAD if (n := len(requests(k))) < 80} == {}


@pytest.mark.parametrize("style", STYLES)
def test_styles_are_broad_and_name_persons(style):
    assert len(style_words(style)) >= 30 and len(style_words(style, "who")) >= 3
    assert set(style_words(style)) == {*style_words(style, "manner"), *style_words(style, "who")}


def test_no_text_stands_for_two_classes_or_twice_in_one():
    classes: dict[str, set[str]] = {}
    for key in set(FILE.classes()) - set(FILE.aliases):
        assert [t for t, n in Counter(map(plain_form, requests(key))).items() if n > 1] == [], key
        for text in requests(key):
            classes.setdefault(plain_form(text), set()).add(key)
    assert {t: k for t, k in classes.items() if len(k) > 1} == {}
    for style, kinds in FILE.styles.items():
        texts = Counter(plain_form(t) for k in kinds.values() for t in k)
        assert max(texts.values()) == 1, style


def test_the_texts_have_one_form():
    sided = [(k, t, "SIDE" in k) for k, texts in FILE.actions.items() for t in texts]
    sided += [(k, t, False) for k, sides in FILE.sides.items() for texts in sides.values() for t in texts]
    sided += [(k, t, False) for k, kinds in FILE.styles.items() for texts in kinds.values() for t in texts]
    for key, text, side in sided:
        assert TEXT.fullmatch(text) and text == " ".join(text.split()) and len(text.split()) <= MAX_WORDS, (key, text)
        assert ("SIDE" in text) == side, (key, text)
    assert all(re.fullmatch(r"[a-z]+(?:_(?:[a-z]+|SIDE))*", k) for k in (*FILE.actions, *FILE.aliases))
    assert all("SIDE" in k and k in FILE.actions and set(s) == {"left", "right"} for k, s in FILE.sides.items())
    assert all(n not in FILE.actions and t in FILE.actions and "SIDE" not in t for n, t in FILE.aliases.items())
    assert all(set(kinds) == {"manner", "who"} for kinds in FILE.styles.values())


def test_requests_are_short_and_filled_in():
    for key in FILE.classes():
        assert all("SIDE" not in t and t == t.lower() and t.isascii() for t in requests(key))
        if len(requests(key)) < 40:  # of an action that has its own captions beside
            continue
        assert side_of(key.replace("_", " ")) or any(len(t.split()) <= 3 for t in requests(key)), key
        assert any(t.endswith("?") for t in requests(key)), key
    several = [t for texts in FILE.actions.values() for t in texts if re.search(r"\bthen (?!SIDE)|;", t)]
    assert len(several) <= 3, "a request is one clause"


@pytest.mark.parametrize("key", ["walk_SIDE", "walk_turn_SIDE", "raise_up_SIDE_hand", "wave_SIDE_hand"])
def test_sided_classes_speak_of_their_side_alone(key):
    for side, opposite in (("left", "right"), ("right", "left")):
        texts = requests(key, side)
        assert texts == requests(key.replace("SIDE", side)) == requests(key.replace("_", "-").replace("SIDE", side))
        assert not [t for t in texts if (named := re.search(r"\b(?:left|right)\b", t)) and named[0] == opposite]
        common = [t for t in texts if side in t]
        assert len(common) >= 75
        assert {t.replace(side, opposite) for t in common} <= set(requests(key, opposite))


def test_idioms_sides_and_aliases():
    left, right = set(requests("walk_turn_left")), set(requests("walk_turn_right"))
    assert {"turn to port", "go anticlockwise"} <= left - right
    assert {"turn to starboard", "go clockwise"} <= right - left
    every, right_ones = requests("lunge"), requests("lunge", "right")
    dropped = set(every) - set(right_ones)
    assert dropped and all(side_of(t) == "left" for t in dropped)
    assert [t for t in every if t in right_ones] == right_ones
    assert requests("dribble") == requests("basketball_dribble") and requests("beckon") == requests("call")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: requests("wlak"), "did you mean walk"),
        (lambda: requests("sit_left"), "no action 'sit_left'"),
        (lambda: requests("walk_turn_SIDE"), "needs a side"),
        (lambda: requests("walk", "up"), "accepted: left, right"),
        (lambda: style_words("sleepless"), "available: elderly"),
    ],
)
def test_unknown_names_are_errors(call, message):
    with pytest.raises(UserError, match=re.escape(message)):
        call()


def test_words_that_yaml_takes_for_booleans_are_refused():
    with pytest.raises(UserError, match="e.yaml: actions: walk: item 2: True"):
        Everyday.read({"actions": {"walk": ["walk", True]}, "sides": {}, "aliases": {}, "styles": {}}, "e.yaml")
