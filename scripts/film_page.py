"""The film of the studio that README shows: `python scripts/film_page.py [--character FILE] [--voice FILE]`.

Drives the page in Chromium with the packaged model and writes `docs/images/studio.webp`. Each picture is taken at a set
place of the timeline, so that the film looks the same whatever the machine's speed; waiting is cut out.
"""

import argparse
import io
import sys
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.common import server  # noqa: E402
from benchmarks.studio_page import opened, until  # noqa: E402

FPS, SIZE, WIDE = 6, (1200, 750), 900  # pictures a second; pixels of the page, and of the width of the film
LETTERS = 4  # that are typed in a picture
IDLE = "!studio.studio.busy"


class Film:
    """Pictures of a page, and how long each is shown."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.pictures: list[Image.Image] = []
        self.lengths: list[int] = []  # milliseconds

    def show(self, seconds: float = 1 / FPS) -> None:
        """The page as it is, for so long."""
        picture = Image.open(io.BytesIO(self.page.screenshot(type="png"))).convert("RGB")
        self.pictures.append(picture.resize((WIDE, WIDE * SIZE[1] // SIZE[0]), Image.Resampling.LANCZOS))
        self.lengths.append(round(1000 * seconds))

    def type_words(self, words: str) -> None:
        """Words in the prompt, letter by letter."""
        self.page.focus("#words")
        for end in range(LETTERS, len(words) + LETTERS, LETTERS):
            self.page.fill("#words", words[:end])
            self.show()

    def say(self, words: str) -> None:
        """Send words, and wait until what they ask for is there."""
        self.type_words(words)
        lines = self.page.evaluate("studio.studio.lines.length")
        self.page.press("#words", "Enter")
        self.show(0.5)
        until(self.page, f"{IDLE} && studio.studio.lines.length > {lines} + 1", 300)
        self.page.evaluate("studio.studio.player.pause()")

    def press(self, key: str, seconds: float = 1.0) -> None:
        """A shortcut, and what it shows."""
        self.page.evaluate("document.activeElement.blur()")
        self.page.keyboard.press(key)
        until(self.page, IDLE)
        self.show(seconds)

    def play(self, start: float = 0.0, most: float = 6.0) -> None:
        """The timeline from a second on."""
        end = min(self.page.evaluate("studio.studio.player.seconds"), start + most)
        for k in range(round((end - start) * FPS)):
            self.page.evaluate(f"studio.studio.player.seek({start + k / FPS}); studio.studio.redraw()")
            self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            self.show()

    def drop(self, path: Path) -> None:
        """A file on the page."""
        from tests.studio.test_files import drop

        drop(self.page, path.name, path.read_bytes())
        until(self.page, IDLE)

    def save(self, path: Path) -> None:
        """An animated WebP."""
        first, *others = self.pictures
        first.save(path, save_all=True, append_images=others, duration=self.lengths, loop=0, quality=50, method=4)


def play_scene(film: Film, character: Path | None, voice: Path | None) -> None:
    """What the film shows, in its order."""
    page = film.page
    film.show(1.5)
    film.say("a person walks forward and waves")
    film.play()
    film.say("then he sits down on a chair")
    film.play(page.evaluate("studio.studio.session.segments.at(-1).start - 0.5"))
    page.locator(".segments li").first.click()
    film.show(1.5)
    film.press("v", 0.2)
    film.play()
    page.get_by_label("Keep take B").click()
    until(page, IDLE)
    film.show()
    film.say("make the wave twice as fast")
    film.play()
    if character:
        film.drop(character)
        film.play(most=5.0)
    if voice:
        film.drop(voice)
        film.press("2", 0.3)
        film.play(page.evaluate("studio.studio.session.segments.at(-1).start"))
        film.press("1", 0.3)
    page.get_by_role("button", name="Export").first.click()
    film.show(2.5)


def main() -> None:
    """Make the film."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--character", type=Path, help="an avatar that puts the motion on (.vrm)")
    parser.add_argument("--voice", type=Path, help="a voice that it speaks with (.wav)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/studio.webp")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    args = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with server() as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=args.chromium, args=["--no-sandbox"])
        page = opened(browser, address)
        page.set_viewport_size({"width": SIZE[0], "height": SIZE[1]})
        page.set_default_timeout(120_000)
        film = Film(page)
        try:
            play_scene(film, args.character, args.voice)
        finally:
            film.save(args.out)
            browser.close()
    print(f"{args.out}: {sum(film.lengths) / 1000:.0f} s, {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
