"""Synthetic talks, the corpus stage, and examples of the gesture tasks."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from avatargpt.evaluation.gesture import read_talks
from avatargpt.gesture.features import WordRows, near_words, prosody
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.speech.audio import RATE
from avatargpt.speech.phones import Phone
from avatargpt.speech.words import Word
from avatargpt.train.data.examples import ExampleOptions, Examples
from avatargpt.train.gesture import corpus_stage as stage
from avatargpt.train.gesture.data import load_corpus
from avatargpt.train.gesture.rows import word_states, word_stress
from avatargpt.train.gesture.takes import (
    LATE,
    MAX_CLIP,
    REST,
    SINK,
    STAY,
    Accent,
    accents,
    captions,
    clip_spans,
    clips,
    plan_gestures,
    transcript,
    usual_stroke,
)
from avatargpt.train.gesture.talks import (
    CorpusRecipe,
    Talks,
    Voices,
    all_talks,
    long_talks,
    mix_utterances,
    words_from_phones,
)
from instruct_data.factory.gesture.bank import Bank, make_keyed_strokes
from instruct_data.factory.gesture.performing import perform
from instruct_data.gesture.plan import Plan, Style, WordClasses, word_classes
from instruct_data.gesture.strokes import motion_of, wrists
from instruct_data.store import ClipCodes, Store
from tests.factories import drawn_rows, tiny_config
from tests.gesture import made_up
from tests.gesture.conftest import Spelling
from vqvae.errors import UserError
from vqvae.features import GestureFeatures
from vqvae.networks import TokenizerConfig
from vqvae.tokenizer import MotionTokenizer

MAX_BRIEF = 20.0  # s of a brief talk

def test_words_from_phones_have_their_times_and_stresses() -> None:
    names = "SIL N EH V ER SIL S AH P R AY Z IH NG L IY".split()
    phones = [Phone(n, 0.1 * k, 0.1 * k + 0.1) for k, n in enumerate(names)]
    words = words_from_phones("Never, surprisingly!", phones, 1.7, "made")
    assert [(w.text, round(w.start, 2), round(w.end, 2)) for w in words.words] == [
        ("Never", 0.1, 0.5), ("surprisingly", 0.6, 1.6),
    ]  # fmt: skip
    assert [round(s.start, 2) for s in words.stresses] == [0.2, 1.0]
    with pytest.raises(UserError, match="not its own"):
        words_from_phones("Never, surprisingly!", [Phone("M", 0.1 * k, 0.1 * k + 0.1) for k in range(12)], 1.7, "made")


@pytest.mark.parametrize("flite", [0.0, 1.0])
def test_synthetic_voices_have_exact_word_times(flite: float) -> None:
    try:
        voices = Voices(flite)
    except UserError as e:
        pytest.skip(str(e))
    rng = np.random.default_rng(4)
    one = voices.voice(rng).say("No, the whole world is big.", rng)
    assert [w.text for w in one.words.words] == ["No", "the", "whole", "world", "is", "big"]
    assert one.words.words[0].start < 0.1 and one.seconds - one.words.words[-1].end < 0.1
    stressed = {one.words.words[s.word].text for s in one.words.stresses}
    assert {"No", "whole", "world", "big"} <= stressed
    loud = [np.abs(one.audio[round(w.start * RATE) : round(w.end * RATE)]).max() for w in one.words.words]
    assert min(loud) > 0.02


def test_word_states_equal_the_rows_of_streams() -> None:
    words = (*made_up.words_of("big dogs sleep here", 0.5), *made_up.words_of("never again", 4.0))
    rows = near_words(word_states(words, Spelling()), word_stress(words).astype(float), np.arange(200) / 30)
    same = np.isclose(rows, WordRows(Spelling(), words).take(200), atol=1e-5).all(1)
    assert same.mean() > 0.95  # stresses are stored in 32 bits: a word may come a frame earlier


def test_louder_and_higher_vowels_are_stronger() -> None:
    rng = np.random.default_rng(0)
    one = made_up.utterance("big dogs sleep", rng)
    loud = one.audio.copy()
    middle = one.words.words[1]
    loud[round(middle.start * RATE) : round(middle.end * RATE)] *= 4
    stresses = accents(one.words.words, prosody(loud, RATE))
    assert max(stresses, key=lambda a: a.strength).word == 1
    assert [a.frame for a in stresses] == [round(s.start * 30) for s in one.words.stresses]
    assert accents([Word("hm", 0.0, 0.2)], prosody(loud, RATE)) == []


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bank, WordClasses]:
    folder = tmp_path_factory.mktemp("bank")
    return made_up.bank(folder), made_up.table(folder)


def plan_of(
    library: tuple[Bank, WordClasses], words: tuple[Word, ...], interlocutor: tuple[Word, ...] = (), seed: int = 0
) -> Plan:
    stressed = [Accent(k, w.phones[1].start, 0.5, 0.0) for k, w in enumerate(words)]
    style = Style("one", ("keyed",), rate=0.0, semantic=1.0, both=0.0)
    return plan_gestures(words, stressed, 300, style, *library, np.random.default_rng(seed), interlocutor)


def test_strokes_have_the_class_and_the_stress_of_their_word(library: tuple[Bank, WordClasses]) -> None:
    words = made_up.words_of("dogs are big and they never sleep", 1.0, 0.5)
    kinds = {}
    for seed in range(12):
        for p in plan_of(library, words, seed=seed).strokes:
            assert p.frame == round(words[p.word].phones[1].start * 30) + LATE
            kinds[words[p.word].text] = (p.kind, p.stroke.name)
    assert kinds["big"] == ("size", "big") and kinds["never"] == ("negation", "weigh")


def test_hands_stay_up_in_short_pauses_and_rest_in_long_ones(library: tuple[Bank, WordClasses]) -> None:
    words = (*made_up.words_of("dogs sleep", 0.3), *made_up.words_of("dogs sleep", 0.9 + REST - 0.2),
             *made_up.words_of("dogs sleep", 5.0))  # fmt: skip
    raised = plan_of(library, words).raised
    spans = [(r.start / 30, r.stop / 30) for r in raised]
    assert spans[0][0] < 0.4 and any(a < 1.2 and b > 2.0 for a, b in _joined(spans))
    first_end = words[3].end + STAY
    assert any(b == pytest.approx(first_end, abs=0.05) for _, b in _joined(spans))
    assert all(r.stop <= 300 - 2 for r in raised)


def _joined(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    out: list[tuple[float, float]] = []
    for a, b in spans:
        out = [*out[:-1], (out[-1][0], b)] if out and a - out[-1][1] < 0.01 else [*out, (a, b)]
    return out


def test_talks_begin_and_end_at_rest_and_hands_move_with_the_loudness(library: tuple[Bank, WordClasses]) -> None:
    words = made_up.words_of("dogs sleep dogs sleep dogs sleep dogs sleep dogs sleep", 0.1, 0.6)
    loud = [Accent(k, w.phones[1].start, 0.0, -1.0 if k < 5 else 1.0) for k, w in enumerate(words)]
    style = Style("one", ("keyed",), both=1.0)
    plan = plan_gestures(words, loud, 200, style, *library, np.random.default_rng(0))
    place = wrists(perform(plan, library[0], np.random.default_rng(0)))
    speed = np.linalg.norm(np.diff(place, axis=0), axis=-1).mean(1) * 30
    assert np.linalg.norm(place[-1] - place[0], axis=-1).max() < 0.02 and speed[-2:].max() < 0.05
    assert speed[100:160].mean() > 1.5 * speed[35:90].mean()
    assert SINK > 0


def test_every_class_has_a_usual_stroke(library: tuple[Bank, WordClasses]) -> None:
    bank, table = library
    for kind in table.classes.values():
        stroke = usual_stroke(kind, bank)
        assert stroke.name in kind.gestures and stroke is usual_stroke(kind, bank)


def test_listeners_nod_and_make_no_strokes(library: tuple[Bank, WordClasses]) -> None:
    interlocutor = (*made_up.words_of("dogs are big", 1.0), *made_up.words_of("no dogs sleep", 5.0))
    ends = np.array([1.9, 5.9])
    frames = []
    for seed in range(12):
        plan = plan_of(library, (), interlocutor, seed)
        assert not plan.strokes and not plan.beats and not plan.raised
        frames += [n.frame / 30 for n in plan.nods]
    late = np.array(frames)[:, None] - ends
    assert len(frames) > 8 and all(any(0 <= d <= 0.5 for d in row) for row in late)


def test_mixing_keeps_words_with_their_sound() -> None:
    rng = np.random.default_rng(0)
    one = made_up.utterance("big dogs", rng)
    audio, words = mix_utterances([(1.0, one), (3.0, one)], 5.0)
    assert [w.text for w in words] == ["big", "dogs", "big", "dogs"]
    first = words[2].start
    assert np.abs(audio[round((first - 0.3) * RATE) : round((first - 0.05) * RATE)]).max() == 0
    assert np.abs(audio[round(first * RATE) : round((first + 0.3) * RATE)]).max() > 0.01


@pytest.fixture
def stage_args(
    library: tuple[Bank, WordClasses], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> argparse.Namespace:
    monkeypatch.setattr(stage, "read_bank", lambda folder: library[0])
    monkeypatch.setattr(stage, "word_classes", lambda: library[1])
    monkeypatch.setattr(stage, "Voices", made_up.Voices)
    monkeypatch.setattr(stage, "word_encoder", lambda name: Spelling())
    monkeypatch.setattr("avatargpt.train.gesture.talks.MIN_SECONDS", 9.0)
    monkeypatch.setattr("avatargpt.train.gesture.talks.MAX_SECONDS", 10.0)
    return argparse.Namespace(output=str(tmp_path / "out"), gestures="none", texts=None, faces=None, tokenizer=None,
                              threads=1)  # fmt: skip


RECIPE = {"data": {"minutes": 0.63, "dyadic": 1.0, "recorded": 0, "val": 0.5, "store": 0.1},
          "speakers": {"ada": {"performers": ["keyed"]}, "bob": {"left": 0.8}}}  # fmt: skip


def test_the_stage_writes_its_files_and_resumes(stage_args: argparse.Namespace, tmp_path: Path) -> None:
    recipe = CorpusRecipe.read(RECIPE, "configuration")
    stage.gesture_corpus_stage(recipe, stage_args)
    out = Path(stage_args.output)
    files = sorted((out / stage.GENERATED).glob("*.safetensors"))
    assert len(files) == 4  # two talks, both sides of each
    with safe_open(files[0], "np") as file:
        about = json.loads(file.metadata()["about"])
        assert file.get_slice("features").get_shape()[0] == len(file.get_tensor("other_audio"))
    assert about["speaker"] in ("ada", "bob") and all(s[3] >= 0 for s in about["strokes"])
    assert len(Store.open(out / stage.STORE)) >= 1 and len(Store.open(out / stage.CLIPS)) >= 4
    talks = read_talks(out / stage.TALKS)  # of the validation split
    assert len(talks) == 2 and all(t.motion is not None and t.words and t.interlocutor is not None for t in talks)

    before = {f.name: f.read_bytes() for f in files}
    files[-1].unlink()
    (out / stage.GENERATED / "00001.done").unlink()
    stage_args.tokenizer = str(tmp_path / "tokenizer")
    MotionTokenizer(TokenizerConfig(modality="gesture", levels=2, codebook_size=16, code_dim=8, width=16, fine_width=8,
                                    downsample=4)).save(stage_args.tokenizer)  # fmt: skip
    stage.gesture_corpus_stage(recipe, stage_args)
    assert {f.name: f.read_bytes() for f in files} == before
    corpus = load_corpus(out / stage.TAKES)
    assert len(corpus.split("train")) == len(corpus.split("val")) == 2
    part = corpus.part(corpus.takes[0], 0, 40)
    assert part["codes"].shape == (10, 2) and part["other_word_states"].shape[1] == 8
    assert part["strokes"].max() < len(corpus.material.classes)


def test_brief_talks_follow_the_others(library: tuple[Bank, WordClasses]) -> None:
    data = CorpusRecipe.read({"data": {"minutes": 2, "dyadic": 0, "brief": 0.8, "recorded": 0}}, "configuration").data
    assert (long_talks(data), all_talks(data)) == (3, 9)
    without = Talks(data.model_copy(update={"brief": 0}), made_up.Voices(0), [])
    talks = Talks(data, made_up.Voices(0), [])
    for number in range(9):
        talk = talks.talk(number, 0)
        assert (talk.frames / 30 < MAX_BRIEF) == (number >= 3)
        if number < 3:
            assert np.array_equal(talk.tracks[0].audio, without.talk(number, 0).tracks[0].audio)


def test_a_folder_of_another_configuration_is_refused(stage_args: argparse.Namespace) -> None:
    recipe = CorpusRecipe.read({**RECIPE, "data": {**RECIPE["data"], "minutes": 0.1}}, "configuration")
    stage._check_same(recipe, Path(stage_args.output))
    stage._check_same(recipe, Path(stage_args.output))
    with pytest.raises(UserError, match="another configuration"):
        stage._check_same(CorpusRecipe.read(RECIPE, "configuration"), Path(stage_args.output))
    with pytest.raises(UserError, match="performers: Anna"):
        CorpusRecipe.read({"speakers": {"one": {"performers": ["Anna"]}}}, "configuration")


WORDS = [("No", 0.5, 0.8), ("that", 0.8, 1.0), ("was", 1.0, 1.2), ("tiny", 1.2, 1.9), ("But", 2.8, 3.0),
         ("you", 3.0, 3.3)]  # fmt: skip


def test_clips_end_in_pauses_within_the_limit() -> None:
    assert clip_spans(WORDS, 6.0) == [(0, 6)]  # the first pause comes too early
    slow = [(w, 3 * a, 3 * b) for w, a, b in WORDS]
    assert clip_spans(slow, 12.0) == [(0, 4), (4, 6)] and clip_spans([], 3.0) == []
    endless = [("word", 0.5 * i, 0.5 * i + 0.5) for i in range(60)]
    spans = clip_spans(endless, 30.0)
    assert [a for a, _ in spans[1:]] == [b for _, b in spans[:-1]] and spans[-1][1] == 60
    assert all(endless[b - 1][2] - endless[a][1] <= MAX_CLIP for a, b in spans)


def test_transcripts_and_captions() -> None:
    assert transcript(WORDS) == "no that was tiny (0.9) but you"
    classes, rng = word_classes().classes, np.random.default_rng(0)
    assert all(kind.captions for kind in classes.values()) and captions([], word_classes(), rng) == []
    for text in captions(["beat", "negation", "size_small"], word_classes(), rng):
        first, second = text.removeprefix("a person ").split(", then ", 1)
        assert any(t.startswith(first) for t in classes["negation"].captions)
        assert not any(t in second for t in classes["beat"].captions)


@pytest.fixture(scope="module")
def items() -> list[ClipCodes]:
    turns = make_keyed_strokes(0, 1)[0].turns
    features = GestureFeatures().encode(motion_of(np.resize(turns, (180, *turns.shape[1:]))))
    about = {"words": WORDS, "strokes": [[30, "Negative", "negation", 0, "lr", "x"]], "speaker": "ada"}
    (clip,) = clips([("00000", features, about, "train")], word_classes(), "made", "ours")
    assert clip.extra["speech"]["text"] == transcript(WORDS) and clip.captions
    motion = clip.load()
    assert motion.fingers is not None and len(motion) == round((3.3 + 0.4 - 0.1) * 30)
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 16, (len(motion) // 3, 2)).astype(np.int16)
    return [ClipCodes(clip.id, codes, clip.captions, "train", clip.source, clip.licence, clip.action,
                      frames=len(motion), fps=30.0, modality="gesture", extra=clip.extra)]  # fmt: skip


def test_examples_of_every_gesture_task(items: list[ClipCodes]) -> None:
    text = TextTokenizer.train(["no that was tiny but you", "waves it away, says no"] * 5, 300)
    config = tiny_config(text, 16, "gesture")
    heads = {"speech_to_gesture": "gesture", "text_to_gesture": "gesture", "gesture_to_text": "text"}
    all_words = dict.fromkeys(("only_ground", "only_words", "only_attributes", "unconditional"), 0.0)
    options = ExampleOptions(weights=dict.fromkeys(heads, 1.0), announce=1.0, say_seconds=1.0, **all_words)
    examples = Examples(items, {}, text, config, options, {"gesture": 10.0})
    for task, head in heads.items():
        assert len(examples.pools(task)) == 1
        for row in drawn_rows(examples, task, 4):
            assert row.head == head and row.end == config.end_id(head)
            if task == "speech_to_gesture":
                assert transcript(WORDS) in row.ground
    without = [replace(item, extra={}) for item in items]
    assert Examples(without, {}, text, config, options, {"gesture": 10.0}).pools("speech_to_gesture") == []
