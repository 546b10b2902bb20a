"""Moving pictures: .gif through Pillow and .mp4 through PyAV with its sound, frame by frame in constant memory."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.formats import check_size, report_missing_extra
from avatargpt.export.renderers import FRAMES_TOGETHER, BodyRenderer, capsule_ends, fit_view
from vqvae.errors import UserError
from vqvae.face import FaceMotion, turns
from vqvae.motion import Motion, atomic_write
from vqvae.smoothing import gaussian

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

GIF_FPS = 20.0  # players round GIF delays to 1/100 s and slow down what is faster
_FOLLOW_SECONDS = 0.35  # time constant of the camera's smoothing
_CHUNK = 512  # frames whose capsules are placed at once
_AVATAR_DISTANCE = 4.2  # m from the camera
_AVATAR_YAW = 0.3  # radians that it stands to the person's left
_STANDING = 0.08  # m that the pelvis of somebody who only stands moves at most
_CROWN = 0.24  # m from the head's joint to above the hair
_HIPS = 0.16  # m of an avatar's body below the pelvis that are in the picture where it only stands
_ABOVE_HIPS = [0, 3, 6, 9, 12, 15, *range(16, 22)]
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_RESAMPLED_RATE = 48_000  # samples a second, for sound at any rate that AAC does not have


def pictures(motion: Motion | FaceMotion | AvatarMotion, size: int) -> Iterator[np.ndarray]:
    """Frames (size, size, 3) uint8 of a clip.

    The camera follows a body; a face is drawn from the front; an avatar from the hips up where it stands, else as a
    whole (about five pictures of 480 x 480 a second on one core).
    """
    if isinstance(motion, AvatarMotion):
        return _avatar_pictures(motion, size)
    return face_pictures(motion, size) if isinstance(motion, FaceMotion) else _body_pictures(motion, size)


def _body_pictures(motion: Motion, size: int) -> Iterator[np.ndarray]:
    path = gaussian(motion.root.astype(np.float64) * [1, 0, 1], motion.fps * _FOLLOW_SECONDS)
    sample = np.arange(0, len(motion), max(1, len(motion) // 500))
    view = fit_view(capsule_ends(motion.at_frames(sample)), path[sample])
    renderer = BodyRenderer(size, size, view, motion.fingers is not None)
    for start in range(0, len(motion), _CHUNK):
        ends = capsule_ends(motion.slice(start, min(start + _CHUNK, len(motion))))
        for k in range(0, len(ends), FRAMES_TOGETHER):
            together = ends[k : k + FRAMES_TOGETHER]
            yield from renderer.frames(together, path[start + k : start + k + len(together)])


def face_pictures(motion: FaceMotion, size: int) -> Iterator[np.ndarray]:
    """Frames (size, size, 3) uint8 of the head."""
    from avatargpt.export.head import shaped, turn_vertices
    from avatargpt.export.renderers import MeshRenderer

    renderer = MeshRenderer(size, size)
    for weights, quaternion in zip(motion.weights, turns(motion.head), strict=True):
        yield renderer.frame(turn_vertices(shaped(weights), quaternion))


def _avatar_pictures(motion: AvatarMotion, size: int) -> Iterator[np.ndarray]:
    from avatargpt.export.head import head
    from avatargpt.export.mesh import avatar_mesh, avatar_vertices
    from avatargpt.export.renderers import MeshRenderer

    body = motion.body
    path = gaussian(body.root.astype(np.float64) * [1, 0, 1], body.fps * _FOLLOW_SECONDS)
    stands = float(np.ptp(body.root, axis=0).max()) < _STANDING
    joints = np.concatenate([body.joints[:, _ABOVE_HIPS] if stands else body.joints, body.finger_joints], 1)
    local = joints - path[:, None]
    high = max(float(body.joints[:, 15, 1].max()) + _CROWN, float(joints[..., 1].max()) + 0.08)
    low = float(body.root[:, 1].min()) - _HIPS if stands else min(float(joints[..., 1].min()), 0.0) - 0.08
    wide = 2 * (float(np.abs(local[..., [0, 2]]).max()) + 0.12)
    span, middle = max(high - low, wide), np.array([0.0, (high + low) / 2, 0.0])
    renderer = MeshRenderer(size, size, span, _AVATAR_YAW, shape=avatar_mesh(), distance=_AVATAR_DISTANCE)
    rotations, morphs = body.with_fingers[1], head().morphs
    for k, weights in enumerate(motion.face.weights):
        active = np.flatnonzero(weights > 1e-4)
        moved = np.einsum("k,kvc->vc", weights[active].astype(np.float64), morphs[active])
        renderer.aim = path[k] + middle
        yield renderer.frame(avatar_vertices(rotations[k], body.root[k], moved))


def write_gif(motion: Motion | FaceMotion | AvatarMotion, path: Path, size: int = 360) -> Path:
    """A looping GIF of at most 20 frames a second, `size` pixels square."""
    check_size(path, motion.modality, size)
    clip = motion if motion.fps <= GIF_FPS else motion.resampled(GIF_FPS)
    colours = 192 if isinstance(clip, FaceMotion | AvatarMotion) else 128
    return encode_gif(path, pictures(clip, size), len(clip), clip.fps, colours)


def encode_gif(path: Path, frames: Iterator[np.ndarray], count: int, fps: float, colours: int) -> Path:
    """A looping GIF of `count` frames (size, size, 3), at least one; written whole or not at all."""
    from PIL import Image

    # one palette, of the first picture, for all: colours do not flicker and files stay small
    first = Image.fromarray(next(frames)).quantize(colours, dither=Image.Dither.NONE)
    following = (Image.fromarray(f).quantize(palette=first, dither=Image.Dither.NONE) for f in frames)
    # whole hundredths of a second, by turns longer and shorter: all together last as long as the clip
    delays = (10 * np.diff(np.rint(np.arange(count + 1) * 100 / fps))).astype(int).tolist()

    def write(temporary: Path) -> None:
        options = {"save_all": True, "append_images": following, "duration": delays, "loop": 0, "disposal": 1}
        try:
            first.save(temporary, format="GIF", **options)
        except OverflowError:
            # equal pictures are written as one, whose delay has 16 bits
            raise UserError(f"{path}: the picture stands still for more than 655 s; accepted for .gif at most that, "
                            "or .mp4") from None  # fmt: skip

    return atomic_write(path, write)


def write_mp4(
    motion: Motion | FaceMotion | AvatarMotion, path: Path, size: int = 480,
    audio: str | os.PathLike[str] | None = None,
) -> Path:  # fmt: skip
    """H.264 (yuv420p) at the clip's frame rate, `size` pixels square, rounded up to even.

    Args:
        audio: a sound file to put beside the pictures as AAC; without it an avatar's own sound. Both start at 0; sound
            beyond the last frame is left out. More than two channels become one.
    """
    check_size(path, motion.modality, size)
    if audio is None and isinstance(motion, AvatarMotion):
        audio = motion.sound
    return encode_mp4(path, lambda even: pictures(motion, even), motion.fps, size, audio, motion.seconds)


def encode_mp4(
    path: Path, draw: Callable[[int], Iterator[np.ndarray]], fps: float, size: int,
    audio: str | os.PathLike[str] | None = None, seconds: float = 0.0, width: int | None = None,
) -> Path:  # fmt: skip
    """H.264 of the frames (size, size, 3) that `draw(size)` gives, its size even; written whole or not at all.

    The container is that of the suffix, .mp4 or .mov. Of `audio` the first `seconds` are put beside the pictures.
    `width`: of frames that are not square, an even number of pixels.
    """
    try:
        import av
    except ImportError:
        raise report_missing_extra(path, path.suffix.lower()) from None
    size += size % 2
    codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"

    def write(temporary: Path) -> None:
        # absolute: FFmpeg takes what stands before a colon for a protocol
        form, flags = path.suffix[1:].lower(), {"movflags": "faststart"}
        with av.open(str(temporary.absolute()), "w", format=form, options=flags) as container:
            rate = Fraction(fps).limit_denominator(1000)
            stream = cast("VideoStream", container.add_stream(codec, rate=rate))
            stream.width, stream.height, stream.pix_fmt = width or size, size, "yuv420p"
            if codec == "libx264":
                # with its macroblock tree x264 does not write the same bytes every time; pictures without cuts need
                # no search for them
                plain = "b-adapt=0:scenecut=0"
                stream.options = {"crf": "21.5", "preset": "superfast", "mbtree": "0", "x264-params": plain}
            soundtrack = None if audio is None else _Soundtrack(container, audio, seconds)
            for k, picture in enumerate(draw(size)):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
                if soundtrack is not None:
                    soundtrack.encode_until((k + 1) / fps)
            container.mux(stream.encode())
            if soundtrack is not None:
                soundtrack.finish()

    try:
        return atomic_write(path, write)
    except av.FFmpegError as e:
        raise UserError(f"{path}: the film cannot be written ({e})") from None


class _Soundtrack:
    """The sound of a film, encoded as far as its pictures have come: memory does not grow with length."""

    def __init__(self, container: Any, source: str | os.PathLike[str], seconds: float) -> None:
        import av

        from avatargpt.speech.audio import inspect, sample_blocks, to_mono

        info = inspect(source)
        self._rate = info.rate
        self._remaining = round(seconds * info.rate)  # samples
        self._encoded = 0
        blocks = sample_blocks(Path(source), 4096)
        self._blocks = (np.nan_to_num(b if info.channels == 2 else to_mono(b)[:, None]) for b in blocks)
        self._layout = "stereo" if info.channels == 2 else "mono"
        rate = info.rate if info.rate in _AAC_RATES else _RESAMPLED_RATE
        self._container = container
        self._stream = cast("AudioStream", container.add_stream("aac", rate=rate, layout=self._layout))
        self._stream.bit_rate = 128_000
        self._resampler = av.AudioResampler(format="fltp", layout=self._layout, rate=rate)

    def encode_until(self, second: float) -> None:
        """Encode the sound before this moment."""
        import av

        while self._remaining > 0 and self._encoded < second * self._rate:
            block = next(self._blocks, None)
            if block is None:
                self._remaining = 0
                return
            block = block[: self._remaining]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block.T), format="fltp", layout=self._layout)
            frame.sample_rate, frame.time_base, frame.pts = self._rate, Fraction(1, self._rate), self._encoded
            self._encoded += len(block)
            self._remaining -= len(block)
            for resampled in self._resampler.resample(frame):
                self._container.mux(self._stream.encode(resampled))

    def finish(self) -> None:
        """Encode what the resampler and the encoder still hold."""
        for frame in self._resampler.resample(None):
            self._container.mux(self._stream.encode(frame))
        self._container.mux(self._stream.encode(None))
