"""``avatargpt data library`` and ``generate --retrieval``."""

from __future__ import annotations

import json
import sys
import threading

import numpy as np
import pytest

from avatargpt.requests.exemplars import FILE, ExemplarBank, alone
from vqvae.tokenizer import MotionTokenizer, TokenizerConfig


class Grounder:
    def sentence(self, texts):
        rows = np.array([[len(t), t.count("a") + 1.0] for t in texts], np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def save_tokenizer(folder, levels):
    shape = TokenizerConfig(code_dim=8, codebook_size=16, levels=levels, width=16, fine_width=8)
    tokenizer = MotionTokenizer(shape)
    for layer in tokenizer.vq.layers:
        layer._codebook.embed.data.normal_()
        layer._codebook.initted.fill_(True)
    tokenizer.save(folder / "body")


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder of weights with a small tokenizer; the sentence encoder is replaced, the user's folder is another."""
    folder = tmp_path / "model"
    save_tokenizer(folder, 2)
    monkeypatch.setattr("avatargpt.lm.text_encoder.SentenceGrounder", Grounder)
    monkeypatch.setenv("AVATARGPT_HOME", str(tmp_path / "home"))
    return folder


def test_add_and_ls(cli, model, clip, tmp_path):
    r = cli("data", "library", "add", clip, "--caption", "A person  glides.", "--caption", "glides", "--model", model)
    assert r.code == 0 and r.lines[0].startswith(str(tmp_path / "home" / FILE))
    assert r.lines[1] == "clip: 10 tokens, a person glides; glides"
    again = ["data", "library", "add", clip, "--caption", "walks", "--model", model]
    refused = cli(*again)
    assert refused.code == 2 and "choose another --name" in refused.err and len(refused.err.splitlines()) == 1
    facts = json.loads(cli(*again, "--name", "second", "--licence", "CC0", "--json").out)
    assert facts["clips"] == 2 and facts["shown"] == [
        {"name": "second", "tokens": 10, "captions": ["walks"], "licence": "CC0"}
    ]
    assert [line.split(":")[0] for line in cli("data", "library", "ls").lines[1:]] == ["clip", "second"]
    exemplars = ExemplarBank.load(tmp_path / "home")
    tokenizer = MotionTokenizer.load(model / "body")
    from vqvae.motion import Motion

    np.testing.assert_array_equal(exemplars.entries[0].codes, tokenizer.encode(Motion.load(clip)))
    assert exemplars.fingerprint == tokenizer.fingerprint


def test_the_floor_of_a_clip_is_taken_out(cli, model, clip, tmp_path):
    from vqvae.ground import floor_of, raised
    from vqvae.motion import Motion

    usual = Motion.load(clip)
    high = raised(usual, 2.5 - float(np.percentile(usual.joints[..., 1].min(1), 2))).save(tmp_path / "high.npz")
    r = cli("data", "library", "add", high, "--caption", "glides", "--model", model)
    assert r.code == 0 and r.err == f"note: {high}: the floor is taken to be at y = 2.50 m\n"
    codes = ExemplarBank.load(tmp_path / "home").entries[0].codes
    lowered = raised(Motion.load(high), -floor_of(Motion.load(high)))
    np.testing.assert_array_equal(codes, MotionTokenizer.load(model / "body").encode(lowered))


def test_add_to_another_folder_and_to_another_tokenizer(cli, model, clip, tmp_path):
    assert cli("data", "library", "add", clip, "--caption", "glides", "--to", model, "--model", model).code == 0
    assert ExemplarBank.load(model) is not None and not (tmp_path / "home").exists()
    other = tmp_path / "other"
    save_tokenizer(other, 3)
    r = cli("data", "library", "add", clip, "--caption", "x", "--name", "n", "--to", model, "--model", other)
    assert r.code == 2 and "another tokenizer" in r.err and str(model) in r.err


def test_who_comes_between_reading_and_writing_waits(cli, model, clip, monkeypatch):
    save, found, threads = ExemplarBank.save, [], []

    def later(folder):
        with alone(folder):
            found.append(ExemplarBank.load(folder))

    def slowly(exemplars, folder):
        threads.append(threading.Thread(target=later, args=(folder,)))
        threads[0].start()
        threads[0].join(0.3)
        return save(exemplars, folder)

    monkeypatch.setattr(ExemplarBank, "save", slowly)
    assert cli("data", "library", "add", clip, "--caption", "x", "--model", model).code == 0
    threads[0].join(10)
    assert [len(exemplars) for exemplars in found] == [1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "nowhere.npz", "--caption", "x"], ["nowhere.npz"]),
        (["add", "CLIP", "--caption", " ."], ["--caption"]),
        (["add", "CLIP"], ["--caption"]),
        (["add", "CLIP", "--caption", "x", "--name", ""], ["--name ''", "not empty"]),
        (["add", "CLIP", "--caption", "x", "--name", "two\nlines"], ["--name 'two\\nlines'", "one line"]),
        (["add", "CLIP", "--caption", "x", "--model", "gone"], ["gone"]),
        (["ls", "--to", "gone"], ["gone", "no such file"]),
    ],
)
def test_mistakes(cli, model, clip, tmp_path, arguments, words):
    r = cli("data", "library", *[str(clip) if a == "CLIP" else a for a in arguments])
    assert r.code == 2 and all(w in r.err for w in words) and not (tmp_path / "home").exists()


@pytest.mark.parametrize(("value", "count"), [(None, 0), ("off", 0), ("1", 1), ("2", 2)])
def test_generate_takes_retrieval(cli, fake, tmp_path, value, count):
    more = [] if value is None else ["--retrieval", value]
    assert cli("generate", "a person drinks", "-o", tmp_path / "a.npz", *more).code == 0
    assert fake.calls[0][1]["retrieval"] == count


@pytest.mark.parametrize("value", ["0", "3", "on", "-1", "1.5"])
def test_generate_refuses_retrieval(cli, fake, tmp_path, value):
    r = cli("generate", "a person drinks", "-o", tmp_path / "a.npz", "--retrieval", value)
    assert r.code == 2 and "accepted off, or 1 to 2" in r.err and not fake.calls


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_a_full_disk_is_told_in_one_line(cli, model, clip, tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        r = cli("data", "exemplars", "add", clip, "--caption", "walks", "--model", model, "--to", tmp_path / "to")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert r.code == 2 and r.err == f"error: cannot write {tmp_path / 'to' / FILE}: File too large\n"
    assert not (tmp_path / "to" / FILE).exists()


def test_texts_that_no_file_can_hold(cli, model, clip, tmp_path):
    given = ["data", "exemplars", "add", clip, "--model", model, "--caption"]
    for more in (["walk \udc80"], ["walk", "--licence", "\udc80"]):
        refused = cli(*given, *more)
        assert refused.code == 2 and "UTF-8" in refused.err and len(refused.err.splitlines()) == 1


def test_a_clip_is_named_after_its_file_alone(cli, model, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = clip.rename(tmp_path / r"..\evil.npz")
    r = cli("data", "exemplars", "add", other, "--caption", "walks", "--model", model)
    assert r.code == 0 and r.lines[1].startswith("evil: ")
