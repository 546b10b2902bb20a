"""The page that is committed is the build of the source that is committed."""

import hashlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WEB, STATIC = ROOT / "web", ROOT / "avatargpt" / "server" / "static"
BUDGET = 1_200_000  # bytes of the studio
RUNTIME = 4_000_000  # bytes of the runtime of ONNX, which talk.html alone loads


def test_is_that_of_the_source() -> None:
    names = ["index.html", "talk.html", "package-lock.json", "vite.config.mjs", "client/index.js"]
    names += [f"src/{p.name}" for p in (WEB / "src").iterdir()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\n".encode() + (WEB / name).read_bytes())
    built = re.search(r'name="sources" content="([0-9a-f]+)"', (STATIC / "index.html").read_text())
    assert built and built[1] == digest.hexdigest(), "web/ was changed: run `npm --prefix web run build`"


def test_is_small_and_asks_nobody_else() -> None:
    size = {p.name: p.stat().st_size for p in STATIC.rglob("*") if p.is_file()}
    runtime = {name for name in size if name.endswith(".wasm.gz")}
    talking = {"talk.html", *(name for name in size if name.startswith(("talk-", "samples-")))}
    assert len(runtime) == 1 and size[runtime.copy().pop()] < RUNTIME
    assert sum(size[name] for name in size.keys() - runtime - talking) < BUDGET
    assert sum(size[name] for name in talking) < 0.1 * BUDGET
    pages = (STATIC / "index.html").read_text(), (STATIC / "talk.html").read_text()
    assert "talk-" in pages[1] and "talk-" not in pages[0]
    style = "".join(p.read_text() for p in STATIC.rglob("*.css"))
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", "".join(pages)) and not re.findall(r"url\(|@import", style)
