"""The studio in Chromium with the packaged weights: from words to movement, first paint, script a frame, memory.

    python benchmarks/studio_page.py [--minutes 30] [--tries 5] [--chromium PATH] [-o FIGURES.json]

Starts `avatargpt serve` on a free port with a store in a temporary folder. Each try is a new session that is sent
PROMPT; its seconds end when a wrist of the avatar has moved by two centimetres. Then the last motion is played over and
over, and the heap of the page's script is read after a collection of garbage, the memory of the browser's processes
beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

PROMPT = "a person walks forward and waves"
MOVED = 0.02  # metres
START = 300.0  # seconds in which a server is ready
WRIST = "studio.joints.l_wrist"


def main() -> None:
    """Measure, print and, where asked, write the figures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--tries", type=int, default=5)
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as store, sync_playwright() as playwright:
        begun = time.monotonic()
        server, address = started(Path(store))
        figures: dict[str, Any] = {"server ready, s": round(time.monotonic() - begun, 1), "load": os.getloadavg()[0]}
        try:
            flags = ["--no-sandbox", "--js-flags=--expose-gc"]
            browser = playwright.chromium.launch(executable_path=given.chromium, args=flags)
            rows = [timed(browser, address) for _ in range(given.tries)]
            figures["words to movement, s"] = sorted(row["moved"] for row in rows)
            figures["all of it, s"] = sorted(row["done"] for row in rows)
            figures["median, s"] = statistics.median(row["moved"] for row in rows)
            figures["first paint, ms"] = sorted(row["paint"] for row in rows)
            figures["script a frame, ms"] = [row["script"] for row in rows]
            print(json.dumps(figures, indent=1), flush=True)
            if given.minutes:
                figures["memory"] = memory(browser, address, given.minutes)
            browser.close()
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
    if given.output:
        given.output.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def started(store: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server that is ready, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "avatargpt", "serve", "--port", str(port), "--store", str(store)]
    process, address = subprocess.Popen(command), f"http://127.0.0.1:{port}/"
    end = time.monotonic() + START
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{address}healthz", timeout=5).json()["status"] == "ok":
                return process, address
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    process.kill()
    raise SystemExit(f"no server within {START:g} s")


def opened(browser: Any, address: str) -> Any:
    """A page that is ready."""
    page = browser.new_context(viewport={"width": 1280, "height": 760}).new_page()
    page.goto(address)
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
        print(json.dumps(rows[-1]), flush=True)
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


if __name__ == "__main__":
    main()
