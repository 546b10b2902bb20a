"""Faces in the language model: tokens, tasks, public calls, and descriptions put in order."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatargpt.api import AvatarGPT
from avatargpt.evaluation.face_instructions import between, score_descriptions
from avatargpt.face.tokens import MODEL_FOLDER, FaceTokens, _medoid, describe_windows, order_actions
from avatargpt.lm.adapters import FOLDER, write_adapter
from avatargpt.lm.checkpoint import load_model, save_model, save_small, with_modalities
from avatargpt.lm.loaded import LoadedModel
from avatargpt.lm.model import AvatarGPTConfig, AvatarGPTModel
from avatargpt.lm.shape import SMALL
from avatargpt.lm.text_encoder import TextTokenizer
from avatargpt.metrics.face import events_kept
from avatargpt.options import UnheededText
from avatargpt.train.data.examples import ExampleOptions, Examples
from avatargpt.train.data.faces import make_conditioned_clip
from instruct_data.face.described import (
    describe_score,
    describe_timed_score,
    feelings_described,
    parse_description,
    plainly,
    repair_description,
)
from instruct_data.face.render import render
from instruct_data.face.score import Emotion, Event, Score
from instruct_data.factory.face.compose import compose_scores
from instruct_data.store import ClipCodes, Store
from tests.factories import drawn_rows, language_model, random_tokenizer
from vqvae import rotations as rot
from vqvae.errors import UserError
from vqvae.face import FaceMotion, concatenate
from vqvae.io.tensors import MIN_QUANTISED, load_tensors, lower_weight, raise_weights
from vqvae.motion import Motion
from vqvae.tokenizer import MotionTokenizer

LINES = ["blink twice, then smile slightly", "very happy, then sad", "raise brows and nod", "a person walks"]
BODY = {"codebook_size": 20, "levels": 2, "code_dim": 6}
FACE = {"codebook_size": 24, "levels": 3, "code_dim": 6, "refiner_dim": 8, "refiner_layers": 1, "refiner_heads": 2}


@pytest.fixture(scope="module")
def gpt() -> AvatarGPT:
    text, face = TextTokenizer.train(LINES * 5, 300), {k: FACE[k] for k in BODY}
    tokenizers = {"body": random_tokenizer("body", 0, 0.2, 0.3, downsample=4, **BODY),
                  "face": random_tokenizer("face", 1, 0.2, 0.3, downsample=3, **face)}  # fmt: skip
    model = language_model(text, tokenizers, {"body": BODY, "face": FACE}, 2)
    return AvatarGPT(LoadedModel(model, text, tokenizers))


def model_of(gpt: AvatarGPT, modalities: dict[str, dict[str, int]]) -> AvatarGPTModel:
    """Another model with random weights for the same tokenizers."""
    return language_model(gpt.text, gpt.tokenizers, modalities, 3)


def face(seconds: float, seed: int = 0) -> FaceMotion:
    return render(Score(seconds, (Event("smile", 0.2, 0.8),)), seed)


def test_descriptions_can_be_read_back() -> None:
    for score in compose_scores(300, 4):
        assert parse_description(plainly(describe_score(score))) == parse_description(describe_score(score))
        read, events = parse_description(describe_score(score)), sorted(score.events, key=lambda e: (e.start, e.action))
        assert [a for a, _ in read.actions] == [e.action for e in events]
        assert [n for _, n in read.actions] == [min(e.repeat, 7) for e in events]
        wanted = [f.name for f in sorted(score.emotions, key=lambda f: (f.start, -f.intensity))]
        known = list(read.feelings) or ["neutral"]
        assert known == [w for i, w in enumerate(wanted) if not i or w != wanted[i - 1]] or not events or not wanted


def test_descriptions_and_their_figures() -> None:
    both = (Event("smile", 0.2, 2.0, 0.3), Event("nod", 0.5, 1.0, 0.9, 2), Event("blink", 2.8, 0.3))
    score = Score(4.0, both, (Emotion("sad", 0.85, 0.0, 2.0), Emotion("happy", 0.3, 2.0, 4.0)))
    assert describe_score(score) == "smile slightly and nod strongly twice, then blink; very sad, then slightly happy"
    assert plainly("look down head slightly twice, then jaw left; sad") == (
        "lower the head slightly twice, then move the jaw left; sad"
    )
    assert describe_score(Score(2.0)) == "neutral" and feelings_described(Score(2.0)) == "neutral"
    assert parse_description("blink nine ways; rather pleased").actions == ()
    right = score_descriptions([describe_score(score)], [score])
    wrong = score_descriptions(["smile and nod, then wink left; angry"], [score])
    assert all(v == 1 for v in right.values())
    assert wrong["described_sequences"] == 0 and 0 < wrong["described_actions"] < 1 == right["described_actions"]
    assert wrong["described_feelings"] == 0 and wrong["described_counts"] == 0.5
    blinks = Score(6.0, tuple(Event("blink", 2.0 * i, 1.0, 0.7, i + 1) for i in range(3)))
    assert score_descriptions([describe_score(blinks)], [blinks])["described_counts"] == 1
    assert score_descriptions(["blink, then blink three times"], [blinks])["described_counts"] == 0.5


def test_store_of_faces(tmp_path: Path) -> None:
    clips = [make_conditioned_clip(f"c{i}", s, i) for i, s in enumerate(compose_scores(3, 1))]
    store = Store.write(clips, tmp_path / "store")
    assert store.kind == "face"
    for clip, back in zip(clips, store.clips(), strict=True):
        a: Any = clip.load()
        b: Any = back.load()
        assert back.captions == clip.captions and back.extra == clip.extra and b.fps == a.fps
        assert np.abs(a.weights - b.weights).max() < 1e-4 and np.array_equal(a.head, b.head)
    body = replace(clips[0], motion=Motion(rot.identity((10, 22)), np.zeros((10, 3)), 20.0))
    with pytest.raises(UserError, match="one store for each"):
        Store.write([clips[0], body], tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()


def test_short_events_are_missed_where_they_are_missing() -> None:
    clip = render(Score(6.0, (Event("blink", 1.0, 0.4), Event("press_lips", 3.0, 1.0, 1.0))), 3)
    x = clip.curves
    assert events_kept([x], [x]) == {"blinks": 1.0, "closures": 1.0}
    calm = np.repeat(x[:1], len(x), 0)
    assert events_kept([x], [calm]) == {"blinks": 0.0, "closures": 0.0} and events_kept([calm], [x]) == {}


def test_eight_bits() -> None:
    torch.manual_seed(0)
    wide, vector = torch.randn(64, 32, 3) * torch.rand(64, 1, 1), torch.randn(64)
    state = lower_weight("w", wide, torch.int8) | lower_weight("b", vector, torch.int8)
    assert {k: v.dtype for k, v in state.items()} == {"w": torch.int8, "w.scale": torch.float32, "b": torch.bfloat16}
    back = raise_weights(state)
    step = wide.abs().amax((1, 2), keepdim=True) / 127
    assert back.keys() == {"w", "b"} and bool(((back["w"] - wide).abs() <= step / 2 + 1e-7).all())
    again = raise_weights(lower_weight("w", back["w"], torch.int8))["w"]
    assert torch.allclose(again, back["w"], atol=1e-6)
    assert lower_weight("s", torch.ones(2, MIN_QUANTISED // 4), torch.int8)["s"].dtype == torch.bfloat16


def test_six_bits_hold_three_quarters_of_the_bytes() -> None:
    wide = torch.randn(30, 64, generator=torch.Generator().manual_seed(1))
    state = lower_weight("w", wide, torch.int8, bits=6)
    assert state["w"].shape == (30, 48) and state["w"].dtype == torch.uint8
    back = raise_weights(state)
    assert back.keys() == {"w"}
    cut = wide.clamp(-31 * state["w.scale"], 31 * state["w.scale"])
    assert ((back["w"] - cut).abs() <= 0.5001 * state["w.scale"]).all()
    assert ((back["w"] - wide) ** 2).mean().sqrt() < 0.03
    odd = lower_weight("w", wide[:, :63], torch.int8, bits=6)
    assert odd["w"].dtype == torch.int8  # 63 columns are not divided by four


def test_a_tokenizer_in_eight_bits(gpt: AvatarGPT, tmp_path: Path) -> None:
    tokenizer = gpt.tokenizers["face"]
    tokenizer.save(tmp_path / "t", torch.int8)
    back = MotionTokenizer.load(tmp_path / "t")
    assert back.fingerprint == tokenizer.fingerprint
    stored = load_tensors(tmp_path / "t" / "tokenizer.safetensors")
    ends = [stored[f"{k}.weight"] for k in ("encoder.inp", "decoder.out")]
    assert all(w.numel() >= MIN_QUANTISED and w.dtype == torch.bfloat16 for w in ends)
    codes = np.arange(30).reshape(10, 3) % 24
    a, b = tokenizer.decode_features(codes), back.decode_features(codes)
    assert 0 < np.abs(a - b).max() < 0.1 * a.std()


def test_a_further_modality_changes_nothing_for_the_first(gpt: AvatarGPT) -> None:
    narrow = model_of(gpt, {"body": BODY})
    wide = with_modalities(narrow, {"face": FACE})
    assert wide.config.heads == ("text", "body", "face") and with_modalities(wide, {"face": FACE}) is wide
    assert wide.config.first_id("body") == narrow.config.first_id("body")
    ids, labels = torch.arange(12)[None] + 3, torch.arange(6)[None] + narrow.config.first_id("body")
    a, b = (m(input_ids=ids, labels=labels, head="body").loss for m in (narrow, wide))
    assert torch.equal(a, b)
    with pytest.raises(UserError, match="refiner_width"):
        AvatarGPTConfig(modalities={"face": {**FACE, "refiner_width": 3}})
    with pytest.raises(UserError, match="heads divide"):
        AvatarGPTModel(AvatarGPTConfig(d_model=32, modalities={"face": {**FACE, "refiner_heads": 3}}))


def test_words_to_faces(gpt: AvatarGPT) -> None:
    assert gpt.face([]) == [] == gpt.emotion_face([])
    seconds: Any = np.array([1.0, 2.3])
    clips = gpt.face(["smile", "blink twice"], seconds, seed=4)
    assert [len(m) for m in clips] == [30, 69] and clips[1].caption == "blink twice" and clips[0].fps == 30
    single, other = (gpt.face("smile", 1.0, seed=seed)[0].weights for seed in (4, 5))
    assert np.allclose(single, clips[0].weights, atol=1e-5) and not np.array_equal(other, single)
    two = gpt.emotion_face("happy", 0.8, 1.5, num=2)
    assert [len(m) for m in two] == [45, 45] and not np.array_equal(two[0].weights, two[1].weights)
    for call, message in (
        (lambda: gpt.face(" "), "empty"), (lambda: gpt.face("smile", 9.0), "7.2"), (lambda: gpt.face("x", 0.0), "7.2"),
        (lambda: gpt.emotion_face("sad", 1.5), "0 to 1"), (lambda: gpt.emotion_face("hapyy"), "did you mean happy"),
        (lambda: gpt.emotion_face("angry, then calm"), "unknown"),
        (lambda: gpt.face(["a", "b"], [1.0]), "as many seconds"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_a_strength_becomes_a_word(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    words = []
    monkeypatch.setattr(gpt.face_tokens, "_faces", lambda task, slots, *_: words.extend(s["emotion"] for s in slots))
    for intensity in (0, 0.3, 0.7, 0.85, 1.0, None):
        gpt.emotion_face(["Joy", "very sad", "calm"], intensity)
    assert words[::3] == ["neutral", "slightly happy", "happy", "very happy", "extremely happy", "happy"]
    assert words[1::3] == ["neutral", "slightly sad", "sad", "very sad", "extremely sad", "very sad"]
    assert set(words[2::3]) == {"neutral"}


def test_faces_to_words(gpt: AvatarGPT) -> None:
    short, long = face(1.0), face(12.0)
    texts = gpt.describe_face([short, long])
    assert len(texts) == 2 and all(isinstance(s, str) for s in texts)
    assert gpt.describe_face(short) == texts[:1] and len(gpt.feeling([short, long])) == 2
    windows = gpt.face_tokens._read("face_to_text", [long, short])
    assert [len(w) for w in windows] == [2, 1] and gpt.describe_face([]) == []
    assert np.array_equal(np.concatenate([face.weights for _, face in windows[0]]), long.weights)


def test_between_two_faces(gpt: AvatarGPT) -> None:
    start, end = face(1.5, 1), face(2.0, 2)
    joined = gpt.face_in_between(start, end, 1.1)
    assert len(joined) == 45 + 33 + 60
    assert np.array_equal(joined.weights[:45], start.weights) and np.array_equal(joined.head[78:], end.head)
    for seconds in (0.03, 0.1, 1.0, 1.03, 1.07):
        rows = gpt.face_in_between(start, end, seconds).weights
        seams = np.abs(np.diff(rows, axis=0)).max(1)[[44, -len(end)]]
        assert seams.max() < (0.15 if seconds >= 1 else 1) and 0 <= rows.min() <= rows.max() <= 1
    figures = between(gpt, [face(4.0, 3)])
    assert figures["between_error"]["n"] == 1
    assert figures["between_error"]["mean"] > figures["between_error_line"]["mean"]


def test_a_text_between_two_faces(gpt: AvatarGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    start, end, calls, middles = face(1.5, 1), face(2.0, 2), list[tuple[int, str]](), []

    def fits(best: int) -> Any:
        def scores(codes: list[np.ndarray], text: str) -> np.ndarray:
            calls.append((len(codes), text))
            return np.eye(len(codes))[min(best, len(codes) - 1)]

        return scores

    for best in (0, 2):
        monkeypatch.setattr(gpt.face_tokens, "_fits", fits(best))
        middles.append(gpt.face_in_between(start, end, 1.0, "Nod.", best_of=3).weights)
    gpt.face_in_between(start, end, 1.0, "Nod.")
    gpt.face_in_between(start, end, 1.0, "Nod.", best_of=1)
    gpt.face_in_between(start, end, 1.0)
    assert not np.array_equal(*middles) and calls == [(3, "nod")] * 2 + [(8, "nod"), (1, "nod")]
    monkeypatch.setattr(gpt.face_tokens, "_fits", lambda codes, text: np.full(len(codes), -3.0))
    monkeypatch.setattr(gpt.face_tokens, "describe_face", lambda face: [f"{len(face)} frames of a blink"])
    with pytest.warns(UnheededText, match="'Nod.' hardly shows; between the faces: 30 frames of a blink"):
        gpt.face_in_between(start, end, 1.0, "Nod.", best_of=1)
    with pytest.raises(UserError, match="best_of"):
        gpt.face_in_between(start, end, 1.0, best_of=0)


def test_examples_of_every_face_task(gpt: AvatarGPT) -> None:
    feeling = Score(2.0, (), (Emotion("happy", 0.85, 0.0, 2.0),), "Look very happy.")
    both = replace(feeling, events=(Event("nod", 0.3, 0.8),), text="Nod, very happy.")
    items = []
    for i, score in enumerate((feeling, both)):
        clip = make_conditioned_clip(f"c{i}", score, i)
        motion: Any = clip.load()
        codes = gpt.tokenizers["face"].encode(motion)
        items.append(ClipCodes(clip.id, codes, clip.captions, "train", clip.source, clip.licence, clip.action,
                               frames=60, fps=30.0, modality="face", extra=clip.extra))  # fmt: skip
    answers = {"text_to_face": "face", "emotion_to_face": "face", "face_in_between": "face", "face_to_text": "text",
               "face_to_emotion": "text"}  # fmt: skip
    all_words = dict.fromkeys(("only_ground", "only_words", "only_attributes", "unconditional"), 0.0)
    options = ExampleOptions(weights=dict.fromkeys(answers, 1.0), announce=1.0, say_seconds=1.0, **all_words)
    examples = Examples(items, {}, gpt.text, gpt.model.config, options, {"face": 10.0})
    assert len(examples.pools("emotion_to_face")) == 1 and len(examples.pools("face_to_emotion")) == 2
    assert examples.pools("text_to_motion") == []
    asked: set[str] = set()
    for task, head in answers.items():
        rows = drawn_rows(examples, task, 16)
        for row in rows[:: len(examples.pools(task))]:  # of the first clip
            assert row.head == head and row.end == gpt.model.config.end_id(head)
            if task in ("face_to_text", "face_to_emotion"):
                assert row.answer == "very happy" and len(row.motions[0]) == 20
            if task == "text_to_face":
                assert row.length == 20 and row.codes == items[0].codes[:, 0].tolist()
                asked |= {words for words in ("Look very happy.", "very happy from 0.0 to 2.0") if words in row.ground}
            if task == "face_in_between":
                before, after = row.motions
                assert [*before, *row.codes, *after] == items[0].codes[:, 0].tolist()
    assert len(asked) == 2  # its instruction, and its score in words
    feelings = {row.ground for row in drawn_rows(examples, "emotion_to_face", 16)}
    assert feelings == {"very happy", "happy"}  # in words alone, or with its strength as a number
    assert (examples.clips.codes >= 0).all() and examples.clips.codes.shape == (40, 3)


def test_a_separate_face_model(gpt: AvatarGPT, tmp_path: Path) -> None:
    body, facial = model_of(gpt, {"body": BODY}), model_of(gpt, {"face": FACE})
    folder = tmp_path / MODEL_FOLDER
    save_model(body, tmp_path)
    save_small(facial, folder)
    for path, name in ((tmp_path, "body"), (folder, "face")):
        gpt.text.save(path)
        gpt.tokenizers[name].save(path / name, torch.int8)
    loaded = load_model(folder)
    before, after = facial.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys() and loaded.config.modalities == facial.config.modalities
    assert all((before[k] - after[k]).abs().max() <= before[k].abs().max() / 200 for k in before)
    both, single = (AvatarGPT.from_pretrained(path, "cpu") for path in (tmp_path, folder))
    assert list(both.tokenizers) == ["body"] and both.facial is both.facial is not both.loaded
    with pytest.raises(UserError, match="face"):
        AvatarGPT(LoadedModel(body, gpt.text, {"body": gpt.tokenizers["body"]})).face("smile")
    assert single.facial is single.loaded
    assert single.face_source() == "this model" and MODEL_FOLDER in both.face_source()
    a, b = both.face("smile", 1.2, seed=3)[0], single.face("smile", 1.2, seed=3)[0]
    assert len(a) == 36 and np.array_equal(a.weights, b.weights)
    assert both.feeling(a) == single.feeling(a) and both.describe_face(a) == single.describe_face(a)
    assert len(both.face_in_between(a, b, 0.5)) == 36 + 15 + 36
    (folder / SMALL).write_bytes((folder / SMALL).read_bytes()[:-50])
    with pytest.raises(UserError, match="not a safetensors file"):
        AvatarGPT.from_pretrained(folder, "cpu")


def test_an_adapter_brings_the_face(gpt: AvatarGPT, tmp_path: Path) -> None:
    body, both = model_of(gpt, {"body": BODY}), model_of(gpt, {"body": BODY, "face": FACE})
    save_model(body, tmp_path)
    gpt.text.save(tmp_path)
    gpt.tokenizers["body"].save(tmp_path / "body", torch.int8)
    query = "encoder.block.0.layer.0.SelfAttention.q"
    down, up = torch.randn(2, body.config.d_model), torch.randn(body.get_parameter(f"{query}.weight").shape[0], 2)
    tensors = {f"{query}.lora_A.weight": down, f"{query}.lora_B.weight": up}
    tensors |= {k: v for k, v in both.state_dict().items() if k.split(".")[1] == "face"}
    about = {"fingerprints": dict(both.config.fingerprints or {}), "modalities": {"face": both.config.modality("face")}}
    folder = write_adapter(tmp_path / FOLDER / "face", tensors, {"r": 2, "lora_alpha": 4.0}, about, small=True)
    gpt.tokenizers["face"].save(folder / "face", torch.int8)
    shutil.copytree(folder, tmp_path / "elsewhere")

    model = AvatarGPT.from_pretrained(tmp_path, "cpu")
    trunk = model.loaded.model.state_dict()[f"{query}.weight"].clone()
    assert model.adapters == ["face"] and list(model.tokenizers) == ["body"]
    assert model.face_source() == "the adapter face" and model.facial is not model.loaded
    changed = model.facial.model.state_dict()
    torch.testing.assert_close(changed[f"{query}.weight"], trunk + 2 * up @ down, atol=0.1, rtol=0.02)
    assert torch.equal(model.loaded.model.state_dict()[f"{query}.weight"], trunk)
    face = both.state_dict()["heads.face.weight"]
    assert (changed["heads.face.weight"] - face).abs().max() <= face.abs().max() / 100

    other = model.with_adapter(tmp_path / "elsewhere")
    assert other.facial is other.loaded is not model.facial and other.phrase_index is model.phrase_index
    assert other.with_adapter("face").loaded is model.facial is model.with_adapter("face").loaded
    a, b = model.face("smile", 1.2, seed=3)[0], other.face("smile", 1.2, seed=3)[0]
    assert len(a) == 36 and np.array_equal(a.weights, b.weights)
    with pytest.raises(UserError, match="accepted: a folder that LoRA training wrote .adapter., or face"):
        model.with_adapter("nobody")
    with pytest.raises(UserError, match="face"):
        AvatarGPT(LoadedModel(body, gpt.text, {"body": gpt.tokenizers["body"]})).face("smile")
    config = json.loads((folder / "avatargpt.json").read_text())
    config["fingerprints"]["body"] = "another"
    (folder / "avatargpt.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="of a model with another tokenizer of 'body'"):
        AvatarGPT.from_pretrained(tmp_path, "cpu").with_adapter("face")


def test_of_several_middles_the_usual_one_is_taken() -> None:
    faces = [FaceMotion(np.full((4, 52), level), np.zeros((4, 3))) for level in (0.9, 0.2, 0.25, 0.1)]
    assert _medoid(faces) is faces[1] and _medoid(faces[:1]) is faces[0]


ACTIONS = (
    "smile", "wink_left", "wink_right", "nod", "open_mouth", "raise_brows", "pucker_lips", "frown", "shake_head",
    "look_left", "squint", "puff_cheeks", "close_eyes", "sneer_left",
)  # fmt: skip


def clip(*events: tuple, seconds: float = 4.0, feel: tuple[Emotion, ...] = ()) -> tuple[FaceMotion, str]:
    score = Score(seconds, tuple(Event(*e) for e in events), feel)
    return render(score, 3), describe_score(score)


def test_pairs_of_actions_are_ordered() -> None:
    rng, right = np.random.default_rng(0), 0
    pairs = [rng.choice(ACTIONS, 2, replace=False) for _ in range(60)]
    for a, b in pairs:
        face, truth = clip((str(a), 0.3, 1.0), (str(b), 1.8, 1.0), seconds=3.1)
        right += {order_actions(t, face) for t in (truth, ", then ".join(truth.split(", then ")[::-1]))} == {truth}
    assert right >= 57


@pytest.mark.parametrize(
    ("events", "network", "expected"),
    [
        # degree, count and feeling go along
        ([("smile", 0.2, 0.8), ("nod", 2.0, 1.2, 0.9, 2)], "nod strongly twice and smile; very happy, then sad",
         "smile, then nod strongly twice; very happy, then sad"),
        # what overlaps keeps its order
        ([("smile", 0.5, 2.0), ("nod", 0.8, 1.0)], "smile and nod", "smile and nod"),
        ([("smile", 0.5, 2.0), ("nod", 0.8, 1.0)], "nod and smile", "nod and smile"),
        # several rises of one signal, in order; a single one is named once
        ([("wink_left", 0.3, 0.5), ("nod", 1.2, 0.8), ("wink_left", 2.6, 0.5)], "nod, then wink left, then wink left",
         "wink left, then nod, then wink left"),
        ([("nod", 0.3, 0.8), ("smile", 2.0, 1.0)], "smile, then nod, then smile", "nod, then smile"),
        # states and invisible actions keep their place
        ([("smile", 0.2, 0.8), ("frown", 2.5, 1.0)], "frown, then return to neutral, then smile",
         "smile, then return to neutral, then frown"),
        ([("smile", 0.5, 1.0)], "stick out tongue, then smile", "stick out tongue, then smile"),
        ([("smile", 0.5, 1.0)], "smiling somehow, then smile", "smiling somehow, then smile"),
        ([("smile", 0.5, 1.0)], "very happy, then sad", "very happy, then sad"), ([], "", ""),
    ],
)  # fmt: skip
def test_actions_are_ordered_by_the_clip(events: list[tuple], network: str, expected: str) -> None:
    assert order_actions(network, clip(*events)[0]) == expected


def test_repeated_actions_of_windows_stay() -> None:
    wink, calm, smile = clip(("wink_left", 1.5, 0.5)), clip(seconds=2.0), clip(("smile", 0.5, 1.0))
    happy = Emotion("happy", 0.85, 0.0, 4.0)
    happy_winks = [(clip(("wink_left", 1.5, 0.5), feel=(happy,)))] * 3

    def describe(*windows: tuple[FaceMotion, str]) -> str:
        return describe_windows([(text, face) for face, text in windows])

    assert describe(wink, wink, wink) == "wink left, then wink left, then wink left"
    assert parse_description(describe(*happy_winks)).actions == (("wink_left", 1),) * 3
    assert describe(*happy_winks).endswith("; very happy")
    assert describe(wink, calm, smile) == "wink left, then smile" and describe(calm, calm) == "neutral"
    assert describe(happy_winks[0], calm) == "wink left; very happy, then neutral"
    assert describe_windows([("very happy", calm[0]), ("very happy, then sad", calm[0])]) == "very happy, then sad"


def test_an_action_across_windows_is_named_once() -> None:
    smile = clip(("smile", 1.0, 3.0))[0]
    joined = concatenate([smile.slice(0, 90), smile.slice(60, 120)])
    first, second = joined.slice(0, 90), joined.slice(90, len(joined))
    assert describe_windows([("smile", first), ("smile, then nod; happy", second)]) == "smile, then nod; happy"


BROKEN = (
    ("extremely out tongue slightly fearful", ""),
    ("smile; very excited, then extremely out tongue slightly fearful", "smile; very excited"),
    ("blow and laugh slightly and laugh and blow and laugh, then laugh", "blow and laugh slightly, then laugh"),
    ("smile and nod three times, out tongue; very out tongue; sad", "smile and nod three times; sad"),
    ("jaw right, then and look up, raise brows", "jaw right, then look up, then raise brows"),
    ("many out many times, then very nod twice; neutral, then happy", "nod strongly twice; neutral, then happy"),
)  # what networks wrote or might, and what of it has a meaning


@pytest.mark.parametrize(("network", "expected"), BROKEN)
def test_unreadable_parts_are_left_out(network: str, expected: str) -> None:
    still = clip(seconds=2.0)[0]
    assert repair_description(network) == expected == describe_windows([(network, still)])


def test_every_description_can_be_parsed() -> None:
    texts = [text for text, _ in BROKEN] + [clip(("smile", 0.3, 1.0), ("nod", 0.5, 0.8))[1], "very happy"]
    faces = [clip(("laugh", 0.2, 2.5), ("blow", 1.0, 1.0))[0], clip(("smile", 0.5, 1.0))[0]]
    for k, text in enumerate(texts):
        for windows in ([text], [text, texts[k - 1]], [text, text, text]):
            text_of = describe_windows([(t, faces[i % 2]) for i, t in enumerate(windows)])
            acts, _, felt = text_of.partition("; ")
            parts = [p for run in re.split("; |, then ", text_of) for p in run.split(" and ") if p]
            read = parse_description(text_of)
            assert len(read.actions) + len(read.feelings) == len(parts) and repair_description(text_of) == text_of
            assert not parse_description(felt).actions and (not felt or not parse_description(acts).feelings)
            for run in acts.split(", then "):
                names = [name for name, _ in parse_description(run).actions]
                assert len(names) == len(set(names))


def test_candidates_are_chosen_by_what_they_show() -> None:
    tokens = FaceTokens.__new__(FaceTokens)
    score = Score(3.0, (Event("wink_left", 0.5, 0.5), Event("nod", 1.5, 1.0)), (), "")
    faces = {0: Score(3.0, score.events[:1]), 1: score, 2: Score(3.0)}
    tokens._decode_codes = lambda codes: render(faces[int(codes[0])], 1)  # type: ignore[method-assign]
    tokens._fits = lambda candidates, text: np.array([3.0, 1.0, 2.0][: len(candidates)])  # type: ignore[method-assign]
    codes = [np.array([k]) for k in (0, 1, 2)]
    best, lacking = tokens._best(codes, "wink left, then nod", score)
    assert not lacking and np.allclose(best.weights, render(score, 1).weights)
    assert tokens._best(codes[::2], "wink left, then nod", score)[1] == "nod"
    assert np.allclose(tokens._best(codes, "wink left", None)[0].weights, render(faces[0], 1).weights)
    assert (
        describe_timed_score(score) == "wink left from 0.5 to 1.0; nod from 1.5 to 2.5"
        and describe_timed_score(Score(1.0)) == "neutral"
    )
