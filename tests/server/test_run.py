"""The server as a process: its lines, half-open connections, signals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress

import pytest

SERVE = """
import sys
from pathlib import Path
from avatargpt.server import run
from avatargpt.server.settings import ServerSettings
from tests.chat.stand_ins import LineIntent
from tests.server.stand_ins import StandIn

make = run.create_app
run.create_app = lambda settings: make(settings, StandIn(), LineIntent())
settings = ServerSettings(store=Path(sys.argv[1]), header_seconds=1.0, body_seconds=1.0, connections=4,
                          grace_seconds=10.0)
run.run(settings, "127.0.0.1", 0, lambda line: print(line, flush=True))
"""


@pytest.fixture
def process(tmp_path):
    program = [sys.executable, "-c", SERVE, str(tmp_path / "store")]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def figures_of(address: str) -> dict[str, float]:
    lines = urllib.request.urlopen(f"{address}/metrics").read().decode().splitlines()
    return {name: float(value) for name, _, value in (x.partition(" ") for x in lines if not x.startswith("#"))}


def test_a_process(process):
    line = process.stdout.readline()
    port = int(line.partition("127.0.0.1:")[2].partition("/")[0])
    address = f"http://127.0.0.1:{port}"

    def answer(head: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port)) as half_open:
            half_open.settimeout(8)
            half_open.send(head)
            return half_open.recv(400)

    request = b"POST /v1/motions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    assert answer(b"GET / HT") == b"", "the head of a request does not come"
    assert answer(request + b"9\r\n\r\n{").startswith(b"HTTP/1.1 408"), "its body does not"
    assert answer(request + b"9999999999\r\n\r\n").startswith(b"HTTP/1.1 413")
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(6)]
    crowd[-1].settimeout(5)
    with suppress(ConnectionResetError):
        assert crowd[-1].recv(1) == b"", "no more connections than accepted"
    for each in crowd:
        each.close()

    ask = urllib.request.Request(
        f"{address}/v1/motions", b'{"prompt": "private walk", "seconds": 1}', {"Content-Type": "application/json"}
    )
    answers = []
    asking = threading.Thread(target=lambda: answers.append(json.load(urllib.request.urlopen(ask))))
    asking.start()
    asking.join(5)
    assert answers and answers[0]["motions"][0]["frames"] == 20
    with socket.create_connection(("127.0.0.1", port)) as leaving:
        leaving.send(request + b'18\r\n\r\n{"prompt": "wait"}')
        time.sleep(0.5)
    until = time.monotonic() + 5
    while (figures := figures_of(address))["avatargpt_running"] and time.monotonic() < until:
        time.sleep(0.05)
    assert figures["avatargpt_clients_gone_total"] == 1 and figures["avatargpt_running"] == 0, "left, so cancelled"
    process.send_signal(signal.SIGTERM)
    out, log = process.communicate(timeout=60)
    assert process.returncode == 0 and out == ""
    rows = [json.loads(row) for row in log.splitlines()]
    answered = [r["status"] for r in rows if r["event"] == "request" and r["route"] != "/metrics"]
    assert answered == [408, 413, 200, 499]
    assert rows[-1] == rows[-1] | {"event": "stopped", "given back": 0} and "private" not in log
