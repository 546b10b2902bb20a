"""The studio in Chromium with the packaged weights: from words to movement, first paint, script a frame, memory.

Starts `avatargpt serve` on a free port with a store in a temporary folder. Each try is a new session that is sent
PROMPT; its seconds end when a wrist of the avatar has moved by two centimetres. Then the last motion is played over and
over, and the heap of the page's script is read after a collection of garbage, the memory of the browser's processes
beside it.
"""

import os
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.common import server

PROMPT = "a person walks forward and waves"
MOVED = 0.02  # metres
WRIST = "studio.joints.l_wrist"


def run(minutes: float = 30.0, tries: int = 5, chromium: str = "/usr/bin/chromium") -> dict[str, Any]:
    """Measure."""
    from playwright.sync_api import sync_playwright

    begun = time.monotonic()
    with server() as (address, _), sync_playwright() as playwright:
        figures: dict[str, Any] = {"server ready, s": round(time.monotonic() - begun, 1), "load": os.getloadavg()[0]}
        flags = ["--no-sandbox", "--js-flags=--expose-gc"]
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        rows = [timed(browser, address) for _ in range(tries)]
        figures["words to movement, s"] = sorted(row["moved"] for row in rows)
        figures["all of it, s"] = sorted(row["done"] for row in rows)
        figures["median, s"] = statistics.median(row["moved"] for row in rows)
        figures["first paint, ms"] = sorted(row["paint"] for row in rows)
        figures["script a frame, ms"] = [row["script"] for row in rows]
        if minutes:
            figures["memory"] = memory(browser, address, minutes)
        browser.close()
    return figures


def opened(browser: Any, address: str) -> Any:
    """A page that is ready."""
    page = browser.new_context(viewport={"width": 1280, "height": 760}).new_page()
    page.goto(f"{address}/")
    until(page, "!!window.studio && studio.studio.state === 'ready'")
    return page


def until(page: Any, expression: str, seconds: float = 120.0) -> None:
    """Wait for an expression of the page to hold."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        if time.monotonic() > end:
            raise SystemExit(f"{expression}: not within {seconds:g} s")
        time.sleep(0.01)


def timed(browser: Any, address: str) -> dict[str, float]:
    """Seconds of one prompt in a new session."""
    page = opened(browser, address)
    rest = page.evaluate(WRIST)
    page.fill("#words", PROMPT)
    begun = time.monotonic()
    page.press("#words", "Enter")
    until(page, f"studio.studio.player.playing && Math.hypot(...{WRIST}.map((x, i) => x - {rest}[i])) > {MOVED}")
    moved = time.monotonic() - begun
    until(page, "!studio.studio.busy")
    done = time.monotonic() - begun
    time.sleep(2)
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    script = statistics.median(page.evaluate("studio.cost"))
    page.context.close()
    return {"moved": round(moved, 2), "done": round(done, 2), "paint": round(paint), "script": round(script, 2)}


def memory(browser: Any, address: str, minutes: float) -> list[dict[str, float]]:
    """Minutes of play, MB of the script's heap, MB of the browser's processes; after 1, 2, 5 minutes and every ten."""
    page = opened(browser, address)
    page.fill("#words", PROMPT)
    page.press("#words", "Enter")
    until(page, "!studio.studio.busy && studio.studio.player.playing")
    begun, rows = time.monotonic(), []
    marks = [*(m for m in (1, 2, 5, *range(10, 1 + round(minutes), 10)) if m < minutes), minutes]
    session = page.context.new_cdp_session(page)
    for mark in marks:
        while (left := begun + 60 * mark - time.monotonic()) > 0:
            page.wait_for_timeout(min(1000 * left, 5000))
        session.send("HeapProfiler.collectGarbage")
        heap = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
        nodes = session.send("Memory.getDOMCounters")["nodes"]
        rows.append({"minutes": mark, "heap, MB": round(heap, 2), "nodes": nodes, "browser, MB": round(resident())})
    page.context.close()
    return rows


def resident() -> float:
    """MB of memory of the browser's processes below this one, shared pages counted by their shares."""
    below: dict[int, list[int]] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, rest = (folder / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:  # it has just ended
            continue
        names[int(folder.name)] = name
        below.setdefault(int(rest.split()[1]), []).append(int(folder.name))
    total, left = 0.0, [os.getpid()]
    while left:
        pid = left.pop()
        left += below.get(pid, [])
        if names.get(pid, "").startswith("chrom"):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000
    return total
