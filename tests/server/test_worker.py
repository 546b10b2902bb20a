"""Batches, the bounded queue, cancellation, limits of time, and the end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from avatargpt.lm.engine import PAUSE
from avatargpt.server.errors import Refusal, refusal_of
from avatargpt.server.worker import Cancelled, Group, Worker
from tests.chat.stand_ins import walk
from vqvae.errors import OutOfTime, UserError


@pytest.fixture
def worker():
    """Starts a worker, which is stopped in the end."""
    with ExitStack() as stack:

        def start(**options):
            pool = Worker(**{"queue": 8, "batch": 4, "wait": 0.05, "seconds": 5.0, **options})
            stack.callback(pool.stop, 1)
            return pool

        yield start


def held(pool: Worker):
    """A worker that works on something until it is let go."""
    go, begun = threading.Event(), threading.Event()

    def work(report):
        begun.set()
        while not go.wait(0.01):
            report(0, 1)

    job = pool.submit("hold", work)
    assert begun.wait(5)
    return go, job


def test_requests_of_a_group_are_done_together(worker):
    calls = []

    def together(items, report):
        calls.append(list(items))
        return [UserError("no") if i == 3 else i * 2 for i in items]

    pool = worker()
    go, _ = held(pool)
    jobs = [pool.submit("g", group=Group("a", i, together)) for i in range(5)]
    other = pool.submit("g", group=Group("b", 9, together))
    go.set()
    assert [j.result(5) for j in jobs if j is not jobs[3]] == [0, 2, 4, 8]
    with pytest.raises(UserError):
        jobs[3].result(5)
    assert other.result(5) == 18 and calls == [[0, 1, 2, 3], [4], [9]]


def test_a_full_queue_refuses(worker):
    pool = worker(queue=2)
    go, _ = held(pool)
    jobs = [pool.submit("x", lambda report: 1) for _ in range(2)]
    with pytest.raises(Refusal) as refusal:
        pool.submit("x", lambda report: 1)
    assert refusal.value.status == 429 and int(refusal.value.headers["Retry-After"]) >= 1
    jobs[0].cancel()
    pool.submit("x", lambda report: 1)  # what nobody waits for leaves its place
    go.set()
    with pytest.raises(Cancelled):
        jobs[0].result(5)
    assert jobs[1].result(5) == 1


def test_work_ends_at_its_limit_and_the_worker_goes_on(worker):
    pool = worker(seconds=0.1)

    def endless(report):
        while True:
            time.sleep(0.01)
            report(1, 2)

    with pytest.raises(OutOfTime, match="more than"):
        pool.submit("x", endless).result(5)
    assert refusal_of(OutOfTime("more")).status == 503
    assert pool.submit("x", lambda report: 7).result(5) == 7


def decode(steps):
    """As a decode, which pauses every few tokens."""
    for t in range(steps):
        time.sleep(0.001)
        PAUSE.get()(t, steps)


def test_short_work_is_not_behind_a_long_decode(worker):
    pool, done = worker(threads=2), []

    def long(report):
        while not done:
            decode(8)
        return "long"

    first = pool.submit("long", long)
    assert pool.submit("short", lambda report: done.append(1)).result(5) is None and first.result(5) == "long"


def test_jobs_that_exclude_one_another_are_done_in_order(worker):
    pool, order = worker(threads=3), []

    def work(name):
        def run(report):
            order.append(name)
            decode(20)
            order.append(name)

        return run

    jobs = [pool.submit("turn", work(name), alone="a session") for name in "abc"]
    for job in jobs:
        job.result(5)
    assert "".join(order) == "aabbcc"


def test_a_decode_ends_where_its_job_is_cancelled_and_shows_how_far_it_is(worker):
    pool, shown = worker(), []

    def work(report):
        report(0, 0)
        decode(5)
        shown.append((job.done, job.total))
        job.cancel()
        decode(5)
        pytest.fail("goes on")

    begin = threading.Event()
    pool.submit("x", lambda report: begin.wait(5))
    job = pool.submit("x", work)
    begin.set()
    with pytest.raises(Cancelled):
        job.result(5)
    assert shown == [(4, 5)] and job.status == "cancelled"


def test_what_was_done_within_the_limit_may_be_kept(worker):
    pool, steps = worker(seconds=0.02), []

    def work(report):
        try:
            while True:
                decode(1)
                steps.append(1)
        except OutOfTime:
            decode(1)  # what it takes to keep them
            return len(steps)

    assert pool.submit("plan", work).result(5) == len(steps) > 0


def test_a_stopped_worker_finishes_or_gives_back(worker):
    pool = worker()
    go, job = held(pool)
    threading.Timer(0.1, go.set).start()
    assert pool.stop(5) == 0 and job.status == "done"
    with pytest.raises(Refusal):
        pool.submit("x", lambda report: 1)
    pool = worker()
    go, job = held(pool)
    waiting = pool.submit("x", lambda report: 1)
    assert pool.stop(0.05) == 2
    for each in (job, waiting):
        with pytest.raises(Refusal) as refusal:
            each.result(5)
        assert refusal.value.status == 503


def test_concurrent_requests_are_batched_and_not_mixed_up(serve, model):
    client = serve(batch_wait=0.3)

    def made(k):
        return client.post("/v1/motions", json={"prompt": f"walk {k}", "seconds": 1 + k % 3, "seed": k}).json()

    with ThreadPoolExecutor(16) as threads:
        rows = [r["motions"][0] for r in threads.map(made, range(16))]
    assert max(model.batches) >= 8 and sum(model.batches) == 16
    for k, row in enumerate(rows):
        assert row["prompt"] == f"walk {k}" and row["read_as"] == [f"a person walk {k}"]
        stored = client.app.state.server.store.motion(row["id"]).clip()
        assert (stored.root == walk(1 + k % 3, k).root).all()


def test_one_bad_request_does_not_spoil_the_others(serve, model):
    client = serve(batch_wait=0.3)
    with ThreadPoolExecutor(4) as threads:
        prompts = ["walk", "refuse this", "long long long", "run"]
        codes = threads.map(lambda p: client.post("/v1/motions", json={"prompt": p}).status_code, prompts)
    assert list(codes) == [200, 400, 400, 200]
