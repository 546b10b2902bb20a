"""Voices in a timeline: what is laid over its motion, and when their sound is heard."""

import av
import numpy as np
import soundfile

from avatargpt import export
from avatargpt.chat import Conversation
from avatargpt.chat.timeline import Timeline, segment_of
from avatargpt.chat.voices import add_voices
from avatargpt.export.avatar import AvatarMotion
from tests.chat.stand_ins import LineIntent
from tests.clips import gliding
from vqvae import arkit, rotations
from vqvae.face import FaceMotion
from vqvae.motion import Motion

RATE = 8000


def avatar(folder, frames=30):
    """A second at 30 frames a second: the jaw is open, the fingers straight, a tone is heard."""
    path = folder / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(np.arange(RATE) * 0.3), RATE)
    fingers = rotations.identity((frames, 30)).astype(np.float32)
    body = Motion(gliding(frames, 0.5).rotations, gliding(frames, 0.5).root, 30.0, "gesture", fingers=fingers)
    weights = np.zeros((frames, arkit.COUNT), np.float32)
    weights[:, arkit.INDEX["jawOpen"]] = 0.75
    return AvatarMotion(body, FaceMotion(weights, np.zeros((frames, 3)), 30.0), path, "a person speaks")


def timeline(folder):
    silent = segment_of("a person walks", gliding(20), 0, True)
    return Timeline().replace_segments([silent, segment_of("a person speaks", avatar(folder), 0, True, "file"), silent])


def test_face_and_fingers_lie_over_their_segment(tmp_path):
    now = timeline(tmp_path)
    with add_voices(now.motion, now.voices(0, 2), ".glb") as clip:
        assert (clip.fps, len(clip), clip.sound) == (30.0, 90, None)
        jaw = clip.face.weights[:, arkit.INDEX["jawOpen"]]
        np.testing.assert_allclose(jaw[30:60], 0.75, atol=1e-6)
        assert not jaw[:22].any() and not jaw[68:].any() and 0 < jaw[26] < 0.75
        straight = np.abs(clip.body.fingers[:, :, 0]).min(1)
        np.testing.assert_allclose(straight[30:60], 1, atol=1e-6)
        assert straight[10] < 0.999, "the hands of who does not speak are at rest"
    with add_voices(now.stretch(0, 0), now.voices(0, 0), ".glb") as clip:
        assert isinstance(clip, Motion)


def test_films_hold_each_voice_where_it_begins(tmp_path):
    now = timeline(tmp_path)
    twice = now.replace_segments([*now.segments, now.segments[1]])
    with add_voices(twice.motion, twice.voices(0, 3), ".mp4") as clip:
        heard, rate = soundfile.read(clip.sound)
    assert rate == RATE and len(heard) == 4 * RATE
    loud = [bool(np.abs(heard[k * RATE : (k + 1) * RATE]).max() > 0.4) for k in range(4)]
    assert loud == [False, True, False, True]


def test_a_loaded_avatar_is_saved_with_the_timeline(tmp_path, model):
    avatar(tmp_path).save(tmp_path / "talk.npz")
    talk = Conversation(model, tmp_path / "session", intent=LineIntent(), outputs=tmp_path)
    assert talk.do("make 1s: a person walks", "load: talk.npz").ok
    talk.close()
    (tmp_path / "talk.npz").unlink()
    (tmp_path / "tone.wav").unlink()
    talk = Conversation(model, tmp_path / "session", intent=LineIntent(), outputs=tmp_path)
    assert talk.do("show timeline", "mirror", "save: all.npz", "save: all.mp4").ok
    whole = export.load(tmp_path / "all.npz")
    assert whole.face.weights[30:60, arkit.INDEX["jawOpen"]].min() > 0.7
    with av.open(str(tmp_path / "all.mp4")) as film:
        assert sorted(s.type for s in film.streams) == ["audio", "video"]
    talk.close()
