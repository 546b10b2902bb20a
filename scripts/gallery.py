"""The gallery that README shows: `python scripts/gallery.py` writes `docs/images/gallery.webp`.

Each prompt is made once with seed 0 and shown as it came. Shorter clips rest in their last picture.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from avatargpt import AvatarGPT  # noqa: E402
from avatargpt.export.video import pictures  # noqa: E402

PROMPTS = (
    "a person climbs the stairs", "go downstairs", "walk in a circle while waving", "sit down, then drink from a cup",
    "wave with the left hand", "a person walks like an old man", "run in a zigzag", "pick up a box",
    "a man kicks with his right leg", "throw a ball", "turn right, then clap twice", "do a cartwheel",
)  # fmt: skip
COLUMNS, SIZE, LINE = 4, 220, 22  # clips in a row; pixels of a clip, and of its prompt
FPS, SECONDS = 8.0, 7.0  # pictures a second; the longest clip that is shown


def play_clips(prompts: tuple[str, ...]) -> Iterator[Image.Image]:
    """The pictures of the gallery."""
    motions = AvatarGPT.from_pretrained().generate(list(prompts), seed=0)
    clips = [list(pictures(m.slice(0, round(SECONDS * m.fps)).resampled(FPS), SIZE)) for m in motions]
    font = ImageFont.load_default(13)
    for k in range(max(map(len, clips))):
        rows = -(-len(clips) // COLUMNS)
        picture = Image.new("RGB", (COLUMNS * SIZE, rows * (SIZE + LINE)), "white")
        draw = ImageDraw.Draw(picture)
        for i, (clip, prompt) in enumerate(zip(clips, prompts, strict=True)):
            x, y = i % COLUMNS * SIZE, i // COLUMNS * (SIZE + LINE)
            draw.text((x + 6, y + 3), prompt, (20, 24, 32), font)
            picture.paste(Image.fromarray(np.asarray(clip[min(k, len(clip) - 1)])), (x, y + LINE))
        yield picture


def main() -> None:
    """Make the gallery."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/gallery.webp")
    out = parser.parse_args().out
    first, *others = play_clips(PROMPTS)
    first.save(out, save_all=True, append_images=others, duration=round(1000 / FPS), loop=0, quality=45, method=4)
    print(f"{out}: {len(others) + 1} pictures, {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
