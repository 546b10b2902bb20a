"""Each segment begins where the one before ends: postures, what gets up first, what is made again."""

from dataclasses import replace

import numpy as np
import pytest

from avatargpt.chat import Conversation
from avatargpt.chat.segments import MAX_GAP, RISES, faster, loop_segments, mirror_segment, pose_gap
from avatargpt.chat.timeline import Memory, SessionStore, Timeline, compose, order_played, segment_of
from instruct_data.face.score import Emotion, Event, Score
from tests.chat.stand_ins import FakeModel, FakePlanner, LineIntent, say, walk
from tests.clips import gliding
from vqvae import rotations as rot
from vqvae.motion import Motion


def tilted(frames: int, first: float, last: float, caption: str = "") -> Motion:
    """A body that tips forward from one angle to another (degrees, 0 = upright, 90 = lying)."""
    motion = walk(frames / 20, caption=caption)
    angles = np.radians(np.linspace(first, last, frames))
    turned = np.stack([rot.from_axis_angle(np.array([a, 0.0, 0.0])) for a in angles])
    rotations = motion.rotations.copy()
    rotations[:, 0] = rot.multiply(turned, rotations[:, 0])
    root = np.stack([np.zeros(frames), 0.15 + 0.8 * np.cos(angles), np.zeros(frames)], 1)
    return Motion(rotations, root.astype(np.float32), caption=caption)


class PostureModel(FakeModel):
    """Lies, gets up, and does everything else standing; takes longer where no length is asked for."""

    def generate(self, texts, seconds=None, seed=0, after=None):
        self.calls.append(("generate", texts[0], seconds, seed))
        (text,), frames = texts, round((seconds or 2) * 20)
        angles = {"a person lies down": (0, 90), "a person lies still": (90, 90), RISES: (90, 0)}.get(text, (0, 0))
        return [tilted(frames, *angles, text)]


@pytest.fixture
def talk(tmp_path):
    return Conversation(PostureModel(), intent=LineIntent(), outputs=tmp_path, planner=FakePlanner())


def gaps(talk):
    segments = talk.timeline.segments
    return [pose_gap(a.motion, b.motion) for a, b in zip(segments, segments[1:], strict=False)]


def test_who_lies_gets_up_first(talk):
    say(talk, "make 2s: a person lies down", "then 3s: a person lies still", "then 5s: a person waves")
    assert max(gaps(talk)) < MAX_GAP and [s.motion.seconds for s in talk.timeline.segments] == [2, 3, 5]
    assert "[gets up first]" in talk.say("/list").text
    talk.say("then: a person walks")
    assert talk.timeline.segments[-1].note == "", "who stands does not"
    say(talk, "then: a person lies down", "then 1s: a person waves")
    assert talk.timeline.segments[-1].motion.seconds > 2, "in one second nobody gets up and waves"


def test_what_jumps_after_a_change_is_made_again(talk):
    say(talk, "make 2s: a person walks", "then 2s: a person waves", "then 2s: a person bows")
    stood = talk.timeline.segments
    reply = talk.say("before 2 2s: a person lies down")
    assert "Made again to begin where the one before ends: segment 3." in reply.text
    segments = talk.timeline.segments
    assert max(gaps(talk)) < MAX_GAP and segments[0] is stood[0] and segments[3] is stood[2]
    assert segments[2].caption == "a person waves" and segments[2].motion.seconds == 2
    assert talk.say("undo").ok and talk.timeline.segments == stood


def test_an_answer_says_what_new_seams_do_to_lengths(talk, monkeypatch):
    swings = {"a person walks": 6.0, "a person waves": 7.0, "a person bows": 8.0}
    monkeypatch.setattr(talk.model, "generate", lambda texts, **_: [gliding(40, swing=swings[texts[0]])])
    say(talk, "make: a person walks", "then: a person waves", "then: a person bows")
    spans = talk.timeline.spans
    reply = talk.say("delete 2")
    pairs = zip((spans[0], spans[2]), talk.timeline.spans, strict=True)
    changes = [b for a, b in pairs if a[1] - a[0] != b[1] - b[0]]
    assert changes, "unfixed ends are given up for a better seam"
    assert reply.text.count("(it was 2 s)") == len(changes) and "At the new seams segment" in reply.text
    assert "At the new seams" not in talk.say("undo").text + talk.say("rename 1: walk").text
    fixed = [talk.say(line) for line in ("make 2s: a person walks", "then 2s: a person waves", "mirror 1")]
    assert not any("At the new seams" in reply.text for reply in fixed)


def test_what_is_made_again_keeps_its_length(talk):
    say(talk, "make: a person walks", "then: a person waves")
    shown = talk.timeline.segments[1]
    talk.say("before 2 2s: a person lies down")
    new = talk.timeline.segments[2]
    assert new.key != shown.key and new.motion.seconds == shown.motion.seconds and not new.fixed


def test_segments_of_a_plan_come_while_it_is_made(talk):
    talk.say("make 2s: a person walks")
    seen, done = [], []
    talk.on_segment = lambda timeline, n: seen.append((n, timeline.segments[n - 1], len(timeline.segments)))
    talk.progress = lambda k, total: done.append((k, total, len(seen)))
    assert talk.say("plan 2: a picnic").ok
    made = talk.timeline.segments[1:]
    assert [(n, count) for n, _, count in seen] == [(k + 2, k + 2) for k in range(len(made))]
    assert [(s.key, s.caption) for _, s, _ in seen] == [(s.key, s.caption) for s in made], "as they stand in the end"
    assert done == [(k + 1, len(made), k) for k in range(len(made))], "each before the next is begun"


def test_the_order_of_loops_within_loops():
    outer, inner = (1, 2), (2, 3)
    assert order_played([(), (outer,), (outer, inner), ()]) == [0, 1, 2, 2, 2, 1, 2, 2, 2, 3]
    assert order_played([((1, 2),), ((3, 2),)]) == [0, 0, 1, 1] and order_played([]) == []


def test_segments_are_composed_as_they_were_when_each_was_joined_to_all_before():
    clips = [walk(2, i) for i in range(4)]
    motion, spans = compose([segment_of(str(i), m, 0, True) for i, m in enumerate(clips)])
    assert spans == ((0, 40), (40, 80), (80, 120), (120, 160)) and len(motion) == 160
    steps = np.diff(motion.root[:, 2])
    assert (steps > 0).all() and np.abs(motion.root[:, 1] - motion.root[0, 1]).max() < 0.02, "on one level, no jump"


def test_faces_go_with_their_segments(tmp_path):
    wink = Score(2.0, (Event("wink_left", 0.5, 0.5),), (Emotion("happy", 0.7, 0.0, 2.0),))
    first = replace(segment_of("winks", walk(2.0), 0, True), score=wink)
    state = Timeline().replace_segments(
        [first, segment_of("walks", walk(3.0), 0, True), faster(mirror_segment(first), 2.0)]
    )
    score = state.score(0, 2)
    winks = [("wink_left", 0.5, 0.5), ("wink_right", 5.25, 0.25)]
    assert [(e.action, e.start, e.duration) for e in score.events] == winks
    assert [(f.start, f.end) for f in score.emotions] == [(0, 2), (5, 6)] and score.length == 6
    assert state.score(1, 1) is None and state.score(2, 2).events[0].start == 0.25
    twice = state.replace_segments(loop_segments(state, {0}, 2))
    assert [e.start for e in twice.score(0, 1).events] == [0.5, 2.5]
    store = SessionStore(tmp_path / "session")
    store.save(Memory(twice))
    assert [s.score for s in store.load().now.segments] == [s.score for s in twice.segments]
    store.close()
