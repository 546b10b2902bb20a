"""Fine-tuning: the clips that are read, what the phrase index gains, how runs end and resume, and bad input."""

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatargpt.cli.app import run as command
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.vector_index import Reduced, reduce_vectors, unit
from avatargpt.train.finetuning.body import list_training_clips, widen_vectors, with_captions_of
from avatargpt.train.finetuning.clips import group_clips, read_clips
from avatargpt.train.finetuning.run import ABOUT, EarlyStopping, Progress, check_new, inherit, steps_in_time
from instruct_data.attributes import Measures
from instruct_data.clip import Clip
from instruct_data.factory.synth.families import families, keyframed
from instruct_data.store import ClipCodes
from vqvae.errors import UserError
from vqvae.io.bvh import write_bvh

LEG = {"left": "right", "right": "left"}


def write_clips(folder: Path, count: int = 6, captions: bool = True) -> Path:
    """Keyframed waves and bows under odd names, with a table of captions."""
    folder.mkdir(parents=True)
    rows = ["animation,caption"]
    for n in range(count):
        word = "zibbles" if n % 2 else "grumbos"
        motion = keyframed(families()["wave" if n % 2 else "bow"], [n])[0].load()
        write_bvh(motion, folder / f"clip{n}.bvh")
        rows += [f"clip{n}{'.bvh' * (n % 3 == 0)},a person {word}"]  # with or without the suffix
    if captions:
        (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_clips_are_grouped_by_their_captions_and_some_of_each_group_held_out(tmp_path: Path) -> None:
    folder = write_clips(tmp_path / "clips")
    clips = read_clips(folder, "CC0")
    assert {c.action for c in clips} == {"a person zibbles", "a person grumbos"}
    assert sorted(c.action for c in clips if c.split == "val") == ["a person grumbos", "a person zibbles"]
    assert all(c.load().fps == 20 and c.licence == "CC0" for c in clips)
    (folder / "captions.csv").write_text("animation,caption\nclip0,a person zibbles\n")
    with pytest.raises(UserError, match=r"clip1\.bvh: no caption; accepted one in .*captions\.csv: clip1"):
        read_clips(folder, "CC0")
    captions = [["a", "b"], ["c"], ["b", "d"], ["d"]]
    clips = [Clip(str(i), np.zeros(0), c, "user", "CC0") for i, c in enumerate(captions)]  # type: ignore[arg-type]
    assert [c.action for c in group_clips(clips)] == ["a", "c", "a", "a"]


def test_captions_may_lie_beside_each_clip(tmp_path: Path) -> None:
    folder = write_clips(tmp_path / "clips", 4, captions=False)
    for n in range(4):
        (folder / f"clip{n}.txt").write_text("A person zibbles.\nsomeone does the zibble\n")
    clips = read_clips(folder, "CC0")
    assert clips[0].captions == ["a person zibbles", "someone does the zibble"]
    assert len({c.action for c in clips}) == 1


def test_new_phrasings_differ_where_the_file_has_no_directions_for_them() -> None:
    rng = np.random.default_rng(0)
    old = np.zeros((40, 16), np.float32)
    old[:, :6] = unit(rng.normal(size=(40, 6)))
    new = np.zeros((2, 16), np.float32)
    new[:, 0], new[0, 10], new[1, 11] = 0.6, 0.8, 0.8  # equal in what the file keeps
    narrow = reduce_vectors(old, 6)
    wide = widen_vectors(narrow, new)
    assert isinstance(wide, Reduced)
    np.testing.assert_array_equal(wide.rows[:40, :6], narrow.rows)
    np.testing.assert_allclose(wide.products(new)[:, 40:], new @ new.T, atol=0.02)


def test_a_stage_is_over_when_its_figure_stops_getting_better() -> None:
    stage = EarlyStopping()
    for figure, over in ((3.0, False), (2.0, False), (2.1, False), (2.0, True)):
        stage.count_validation(figure)
        assert stage.over is over
    resumed = EarlyStopping()
    resumed.restore(stage.state())
    assert resumed.over


def test_steps_are_as_many_as_fit() -> None:
    assert [steps_in_time(240, *limits) for limits in ((2.0, 1.0), (20.0, 1.0), (0.01, 5.0))] == [120, 240, 1]


def test_a_run_goes_on_with_the_same_inputs_alone(tmp_path: Path) -> None:
    Progress(tmp_path / "run", {"clips": "a", "option steps": 3}).once("steps", lambda: 2)
    assert Progress(tmp_path / "run", {"clips": "a", "option steps": 3}).once("steps", lambda: 4) == 2
    with pytest.raises(UserError, match="another option steps"):
        Progress(tmp_path / "run", {"clips": "a", "option steps": 4})


def test_what_is_not_changed_is_inherited_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    start, out = tmp_path / "start", tmp_path / "out"
    start.mkdir()
    (start / "planning.safetensors").write_bytes(b"plans")

    def spoilt(place: Path) -> dict[str, str]:
        raise UserError("spoilt")

    with pytest.raises(UserError, match="spoilt"):
        inherit(start, out, spoilt)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["start"]
    inherit(start, out, lambda place: {"modality": "body"})
    assert (out / "planning.safetensors").read_bytes() == b"plans"
    assert (out / ABOUT).is_file()
    with pytest.raises(UserError, match="is there already"):
        check_new(out)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--modality", "hand"], "--modality hand: accepted: body, face, gesture"),
        (["--modality", "face", "--lora"], "--lora: not for --modality face"),
        (["--minutes", "nan"], "--minutes nan: accepted"),
        ([], "no motion file in it"),
    ],
)
def test_bad_input_is_one_line(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert command(["finetune", str(tmp_path / "empty"), "-o", str(tmp_path / "out"), *more]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty"]


class Letters:
    """Sentence vectors that count letters."""

    def sentence(self, texts: list[str]) -> np.ndarray:
        return unit(np.array([[t.count(c) for c in "abcdefghijklmnopqrstuvwxyz"] for t in texts], np.float32) + 0.01)


def index_of_kicks() -> PhraseIndex:
    keys = ["a person kicks", "kick the ball", "hail a taxi cab now", "wave"]
    captions, vectors = ["a person kicks", "a person kicks", "a wave", "a wave"], Letters().sentence(keys)
    out = PhraseIndex(keys, [{"": c} for c in captions], ["kick", "kick", "wave", "wave"], [""] * 4, {},
                      {"a person kicks": [4]}, vectors)  # fmt: skip
    out.measured = {"a person kicks": {"support": "left"}, "a wave": {"hand": "right"}}
    return out


def test_an_index_gains_the_captions_of_clips() -> None:
    figures = Measures.of(keyframed(families()["kick"], [0])[0].load()).figures()
    about: Any = {"split": "train", "source": "user", "licence": "", "extra": {"figures": figures}}
    clips = [
        ClipCodes("a", np.zeros((9, 1), int), ["A person kicks."], action="kick", **about),
        ClipCodes("b", np.zeros((7, 1), int), ["a person kicks"], action="zibble", **about),
        ClipCodes("c", np.zeros((5, 1), int), ["a person hails a taxi cab"], action="hail", **about),
    ]
    grown = with_captions_of(index_of_kicks(), clips, Letters())  # type: ignore[arg-type]
    assert grown.keys == ["kick the ball", "hail a taxi cab now", "wave", "A person kicks.", "a person kicks",
                          "a person hails a taxi cab"]  # fmt: skip
    by_key = dict(zip(grown.keys, grown.classes, strict=True))
    # "kick" is an action already: the user's is another one; a caption that is there already leads to the clip
    assert by_key["A person kicks."] == "own kick" and by_key["a person kicks"] == "zibble"
    assert by_key["hail a taxi cab now"] == "hail"  # led to a wave while there was nothing better
    assert by_key["kick the ball"] == "kick" and by_key["wave"] == "wave"
    assert grown.lengths["a person hails a taxi cab"] == [5] * len(grown.lengths["a person hails a taxi cab"])
    assert grown.user_actions == {"own kick", "zibble", "hail"}
    assert grown.measured["a wave"] == {"hand": "right"}
    for key in ("A person kicks.", "a person hails a taxi cab"):
        assert grown.measured[key]["support"] == figures["support"] and grown.measured[key]["end"] == "standing"


def test_clips_to_learn_from_are_measured() -> None:
    clip = Clip("k", keyframed(families()["kick"], [0])[0].load(), ["a left kick"], "user", "CC0", "train", "kick")
    clips = list(islice(list_training_clips([clip, replace(clip, id="v", split="val")], 0, 0), 3))
    assert [c.id for c in clips] == ["k", "k_m", "v"] and clips[2].extra == {}
    first, mirror = (c.extra["figures"] for c in clips[:2])
    assert LEG[first["support"]] == mirror["support"] and all(c.extra["prompts"] for c in clips[:2])
