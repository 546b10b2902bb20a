"""What mutants of the routes have outlived."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.sounds import sound_file


@pytest.mark.parametrize("body", ["talk.bvh", "../../etc/walk.npz", "film.mp4"])
def test_a_body_that_names_a_file_of_the_machine_is_refused(client, model, tmp_path, body) -> None:
    sound = client.post("/v1/uploads?name=a.wav", content=sound_file(tmp_path).read_bytes()).json()["id"]
    model.speak = lambda *args, **more: pytest.fail("the file is looked at")
    answer = client.post("/v1/speak", json={"sound": sound, "body": body})
    assert answer.status_code == 400 and "accepted words" in answer.json()["error"]["message"], answer.text


def test_requests_with_other_adapters_are_not_made_together(serve, model) -> None:
    client = serve(batch_wait=0.5)
    with ThreadPoolExecutor(2) as pool:
        jobs = []
        for more in ({}, {"adapter": "calm"}):
            jobs.append(pool.submit(client.post, "/v1/motions", json={"prompt": "walk", "seconds": 2, **more}))
            time.sleep(0.1)
        assert [j.result().json()["motions"][0]["notes"] for j in jobs] == [["a note"], ["calmly"]]
