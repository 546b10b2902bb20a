"""A server under load on loopback: mixed clients, then batching against one by one; memory afterwards.

Starts `avatargpt serve` on a free port with a store in a temporary folder. Each client asks for one thing after the
other, by lot: motions, descriptions, exports, uploads, plans, turns of a session, faces. Counted are answers by status,
the medians and 95th percentiles of their times, and results that carry the hash of another prompt; the memory, after a
fifth of that once more, too. Then a quarter, half, three quarters and all of the microphones speak for 20 seconds: how
late frames come, beside the latency that the server names. At last 16 clients ask for motions alone, of a server that
decodes up to 16 requests together and of one that decodes them one by one.
"""

import hashlib
import json
import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np

from benchmarks.common import resident, server

ACTIONS = ("walks forward", "waves with the left hand", "jumps", "sits down", "bows", "claps", "kicks", "turns around")
WAYS = ("", " slowly", " twice", ", then stands still", " and looks around", " quickly", ", then steps back", " again")
PROMPTS = [f"a person {what}{how}" for what in ACTIONS for how in WAYS]
SCENES = ("a man makes breakfast", "a tired gardener finishes the day's work", "a child waits for the bus")
LATE = 0.25  # seconds after its place in the sound and the stream's latency from which a frame counts as late
WAIT = 300.0  # seconds that a client waits for an answer
# what a client does -> how often, of 100
MIX = {"motion": 45, "export": 20, "describe": 10, "upload": 5, "session": 8, "plan": 5, "face": 5, "mistake": 2}
ACCEPTED = {"motion": {200}, "export": {200}, "describe": {200}, "upload": {201}, "session": {200, 201}, "plan": {200},
            "face": {200}, "mistake": {400}}  # fmt: skip


class Figures:
    """What all clients count."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.times: dict[str, list[float]] = defaultdict(list)
        self.statuses: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.wrong: list[str] = []
        self.errors: list[str] = []

    def add(self, kind: str, response: httpx.Response, seconds: float) -> None:
        """An answer."""
        with self.lock:
            self.statuses[kind][str(response.status_code)] += 1
            if response.status_code in ACCEPTED[kind]:
                self.times[kind].append(seconds)
            elif response.status_code == 429:
                if "Retry-After" not in response.headers:
                    self.errors.append(f"{kind}: 429 without Retry-After")
            else:
                self.errors.append(f"{kind}: {response.status_code} {response.text[:200]}")

    def table(self) -> dict[str, Any]:
        """By kind: statuses, median and 95th percentile in seconds."""
        out: dict[str, Any] = {}
        for kind in sorted(self.statuses):
            out[kind] = {"statuses": dict(self.statuses[kind])}
            if times := self.times[kind]:
                out[kind] |= {f"p{q}": round(float(np.percentile(times, q)), 3) for q in (50, 95)}
        return out


class Client(threading.Thread):
    """One user, who does one thing after the other until a time."""

    def __init__(self, url: str, number: int, until: float, figures: Figures, mix: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.number, self.until, self.figures, self.mix = number, until, figures, mix
        self.lot = random.Random(number)
        self.http = httpx.Client(base_url=url, timeout=WAIT + 60)
        self.motions: list[dict[str, Any]] = []
        self.number_of_session = ""

    def run(self) -> None:
        kinds, shares = list(self.mix), list(self.mix.values())
        with self.http:
            while time.monotonic() < self.until:
                kind = self.lot.choices(kinds, shares)[0]
                if kind in ("export", "describe", "upload") and not self.motions:
                    kind = "motion"
                try:
                    getattr(self, kind)()
                except httpx.HTTPError as e:
                    with self.figures.lock:
                        self.figures.errors.append(f"{kind}: {type(e).__name__} {e}")

    def ask(self, kind: str, method: str, path: str, **request: Any) -> httpx.Response:
        """One exchange; where the server is busy, it is asked again after a while."""
        if method == "POST" and "?" not in path and path != "/v1/sessions":
            request["params"] = {"wait": WAIT}
        while True:
            began = time.monotonic()
            response = self.http.request(method, path, **request)
            if response.status_code == 202:
                response = self.ended(response.json()["job"]["id"])
            self.figures.add(kind, response, time.monotonic() - began)
            if response.status_code != 429 or time.monotonic() > self.until:
                return response
            time.sleep(float(response.headers.get("Retry-After", 1)) * self.lot.uniform(0.5, 1))

    def ended(self, job: str) -> httpx.Response:
        """The end of work that outlasts an exchange; a failure of it is an error."""
        while (response := self.http.get(f"/v1/jobs/{job}")).json().get("status") in ("queued", "running"):
            time.sleep(0.5)
        if response.json().get("status") != "done":
            with self.figures.lock:
                self.figures.errors.append(f"job: {response.text[:200]}")
            response.status_code = 500
        return response

    def motion(self) -> None:
        prompt = self.lot.choice(PROMPTS)
        body = {"prompt": prompt, "seconds": self.lot.choice((2, 3, 4)), "seed": self.lot.randrange(1000), "best_of": 2}
        response = self.ask("motion", "POST", "/v1/motions", json=body)
        if response.status_code == 200:
            (row,) = response.json()["motions"]
            mine = row["prompt_sha256"] == hashlib.sha256(prompt.encode()).hexdigest() and row["seed"] == body["seed"]
            if not mine or row["prompt"] != prompt or row["seconds"] != body["seconds"]:
                with self.figures.lock:
                    self.figures.wrong.append(f"{body} -> {row['prompt']} {row['seed']} {row['seconds']}")
            self.motions = [*self.motions[-5:], row]

    def export(self) -> None:
        row = self.lot.choice(self.motions)
        form = self.lot.choice(("frames", "glb", "bvh", "npz"))
        response = self.ask("export", "GET", row["links"][form])
        if response.status_code == 200 and form == "frames":
            size = int.from_bytes(response.content[4:8], "little")
            head = json.loads(response.content[8 : 8 + size])
            if head["frames"] != row["frames"] or head["caption"] != row["caption"]:
                with self.figures.lock:
                    self.figures.wrong.append(f"{row['caption']} -> {head['caption']}")

    def describe(self) -> None:
        self.ask("describe", "POST", "/v1/describe", json={"motion": self.lot.choice(self.motions)["id"]})

    def upload(self) -> None:
        data = self.http.get(self.lot.choice(self.motions)["links"]["bvh"])
        if data.status_code == 200:
            self.ask("upload", "POST", "/v1/uploads?name=walk.bvh", content=data.content)

    def plan(self) -> None:
        self.ask("plan", "POST", "/v1/plans", json={"scene": self.lot.choice(SCENES), "seconds": 30})

    def face(self) -> None:
        self.ask("face", "POST", "/v1/faces", json={"text": "smile, then look to the left", "seconds": 3})

    def session(self) -> None:
        if not self.number_of_session:
            response = self.ask("session", "POST", "/v1/sessions")
            if response.status_code != 201:
                return
            self.number_of_session = response.json()["id"]
        acts = self.lot.choice((["make: a person walks"], ["make: a person waves"], ["undo"], ["edit: slower"]))
        self.ask("session", "POST", f"/v1/sessions/{self.number_of_session}/turns", json={"acts": acts})

    def mistake(self) -> None:
        self.ask("mistake", "POST", "/v1/motions", json={"prompt": "a person walks", "seconds": -1})


def load(url: str, count: int, seconds: float, mix: dict[str, int]) -> tuple[Figures, float]:
    """Figures of so many clients, and how long they took."""
    figures, began = Figures(), time.monotonic()
    clients = [Client(url, k, began + seconds, figures, mix) for k in range(count)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(seconds + 300)
    return figures, time.monotonic() - began


def listen(url: str, seconds: float, late: list[float], errors: list[str]) -> None:
    """One microphone: a hum in blocks of a tenth of a second, and how late each frame is, seconds."""
    from avatargpt.client import Client as Reader
    from avatargpt.client import ServerError

    rate, began = 16_000, time.monotonic()
    times = np.arange(round(seconds * rate)) / rate
    sound = np.round(6000 * np.sin(2 * np.pi * 140 * times) * (0.6 + 0.4 * np.sin(9 * times))).astype(np.int16)

    def blocks() -> Iterator[np.ndarray]:
        nonlocal began
        began = time.monotonic()
        for k, start in enumerate(range(0, len(sound), rate // 10), 1):
            time.sleep(max(0.0, began + k / 10 - time.monotonic()))
            yield sound[start : start + rate // 10]

    try:
        with Reader(url) as reader:
            for frames in reader.live(blocks(), rate):
                now = time.monotonic() - began
                late += [now - frames.latency - (frames.start + k) / frames.fps for k in range(len(frames.root))]
    except ServerError as e:
        errors.append(str(e))


def microphones(url: str, count: int, seconds: float) -> dict[str, Any]:
    """Figures of so many microphones at once."""
    listen(url, 1.0, [], [])  # loads the networks
    late: list[float] = []
    errors: list[str] = []
    threads = [threading.Thread(target=listen, args=(url, seconds, late, errors)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row: dict[str, Any] = {"streams": count, "seconds": seconds, "frames": len(late), "errors": errors[:3]}
    if late:
        lag = np.array(late)
        row |= {"late_p50": round(float(np.median(lag)), 3), "late_p95": round(float(np.quantile(lag, 0.95)), 3),
                "late_share": round(float((lag > LATE).mean()), 4)}  # fmt: skip
    return row


def run(
    clients: int = 64, seconds: float = 300.0, together: float = 40.0, streams: int = 16, model: str | None = None,
    threads: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Measure; `together`: seconds of each of the two runs of 16 clients."""
    options = [str(w) for name, v in (("model", model), ("threads", threads)) if v for w in (f"--{name}", v)]
    with server("--batch", "16", *options) as (url, process):
        warm, _ = load(url, 2, 5.0, {"motion": 60, "plan": 20, "face": 20})  # loads what is loaded when it is needed
        row: dict[str, Any] = {"load": os.getloadavg()[0], "before_mb": round(resident(process))}
        figures, took = load(url, clients, seconds, MIX)
        answered = sum(map(len, figures.times.values()))
        row |= {"clients": clients, "seconds": round(took, 1), "answers_a_second": round(answered / took, 2),
                "kinds": figures.table(), "mixed_up": figures.wrong[:5], "errors": figures.errors[:5],
                "error_count": len(figures.errors), "during_mb": round(resident(process))}  # fmt: skip
        time.sleep(20)
        row["after_mb"] = round(resident(process))
        load(url, clients, seconds / 5, MIX)
        time.sleep(20)
        yield row | {"after_again_mb": round(resident(process))}
        for quarter in (1, 2, 3, 4) if streams else ():
            yield microphones(url, -(-streams * quarter // 4), 20.0)
    rates = {}
    for batch in (16, 1) if together else ():
        with server("--batch", str(batch), *options) as (url, _):
            load(url, 16, 3.0, {"motion": 1})
            alone, took = load(url, 16, together, {"motion": 1})
            rates[batch] = len(alone.times["motion"]) / took
            yield {"batch": batch, "motions_a_second": round(rates[batch], 2)} | alone.table()
    if rates:
        yield {"together_to_one_by_one": round(rates[16] / rates[1], 2)}
    if figures.errors or warm.errors:
        raise SystemExit("; ".join([*warm.errors, *figures.errors][:3]))
