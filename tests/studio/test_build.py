"""The page that is committed is the build of the source that is committed."""

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEB, STATIC = ROOT / "web", ROOT / "avatargpt" / "server" / "static"
BUDGET = 2_500_000  # bytes


def test_is_that_of_the_source() -> None:
    names = ["index.html", "package-lock.json", "vite.config.mjs", "client/index.js"]
    names += [f"src/{p.name}" for p in (WEB / "src").iterdir()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\n".encode() + (WEB / name).read_bytes())
    built = re.search(r'name="sources" content="([0-9a-f]+)"', (STATIC / "index.html").read_text())
    assert built and built[1] == digest.hexdigest(), "web/ was changed: run `npm --prefix web run build`"


def test_is_small_and_asks_nobody_else() -> None:
    files = [p for p in STATIC.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < BUDGET
    page = (STATIC / "index.html").read_text()
    style = "".join(p.read_text() for p in files if p.suffix == ".css")
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page) and not re.findall(r"url\(|@import", style)
