"""Plans and requests by language models of an endpoint."""

import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt import AvatarGPT
from avatargpt.body.language_reader import LanguageReader
from avatargpt.llm import LanguageModel, Limits
from avatargpt.llm.endpoint import KEY, MODEL, URL, Endpoint, Tries, check_url
from avatargpt.llm.model import Completion, LlmFailed, Question
from avatargpt.planning.language_planner import Fallback, LanguagePlanner
from avatargpt.planning.types import Activity, Plan
from tests.llm.conftest import SCENE, Server, activity, plan, reply, status
from vqvae.errors import UserError

QUICK = Tries(count=3, answer=20_000, pause=0.01, max_pause=0.02)


@pytest.fixture
def planner(server: Server) -> LanguagePlanner:
    return LanguagePlanner(LanguageModel(Endpoint(server.url, "small-1", "secret", QUICK), Limits(seconds=5)))


def test_a_plan(server: Server, planner: LanguagePlanner) -> None:
    server.answers = [{"activities": [activity(1) | {"seconds": [3, 1.5]}, activity(2) | {"seconds": [3]}]}]
    found = planner.plan(SCENE, 2, 0.3, 5)
    assert [a.task for a in found.activities] == ["She checks room 1", "She checks room 2"]
    assert found.activities[1].steps == ("she walks to bed 2", "she bends over bed 2")
    assert found.activities[0].to_json()["seconds"] == [3, 1.5]
    assert "seconds" not in found.activities[1].to_json()  # one length for two steps says nothing of either
    assert found.scene == SCENE and found.notes == () and "small-1" in found.planner
    sent = server.requests[0]
    assert server.paths == ["/v1/chat/completions"] and server.headers[0]["Authorization"] == "Bearer secret"
    assert (sent["model"], sent["temperature"], sent["seed"]) == ("small-1", 0.3, 5)
    form = sent["response_format"]["json_schema"]
    assert form["strict"] and form["schema"]["required"] == ["activities"]
    assert form["schema"]["properties"]["activities"]["minItems"] == 2
    assert form["schema"]["$defs"]["ActivityAnswer"]["required"] == ["task", "steps", "seconds"]
    assert [m["role"] for m in sent["messages"]] == ["system", *["user", "assistant"] * 2, "user"]  # two examples
    assert SCENE in sent["messages"][-1]["content"] and '"person": "she"' not in sent["messages"][0]["content"]
    assert "secret" not in json.dumps(sent)


@pytest.mark.parametrize(("bad", "why"), [
    ("Sure! Here is a plan for you.", "no JSON object"), (plan(1), "at least 2 items"), (plan(1, 1), "done before"),
    ({"activities": [activity(1), {"task": "She sits", "steps": []}]}, "activities.1.steps: list should have"),
    ({"activities": [activity(1), {"task": "She sits", "steps": ["she sits", "She sits."]}]}, "again"),
    ({"activities": "none"}, "activities: input should be a valid list"), ({"activities": [3, 4]}, "activities.0"),
    ('{"activities": [', "no JSON object"), ('{"activities": [}', "no JSON object"),
])  # fmt: skip
def test_asked_again_with_the_reason(server: Server, planner: LanguagePlanner, bad: Any, why: str) -> None:
    server.answers = [bad, plan(1, 2)]
    found = planner.plan(SCENE, 2)
    assert len(found.activities) == 2 and len(server.requests) == 2
    assert why in server.requests[1]["messages"][-1]["content"]
    assert len(found.notes) == 1 and why in found.notes[0]


def test_never_an_empty_plan(server: Server, planner: LanguagePlanner) -> None:
    server.answers = [{"activities": []}]
    with pytest.raises(UserError, match="no well-formed answer in 3 tries"):
        planner.plan(SCENE, 1)
    assert len(server.requests) == 3


def test_the_next_activity_is_a_new_one(server: Server, planner: LanguagePlanner) -> None:
    done = [Activity(f"She checks room {n}", (f"she walks to bed {n}",)) for n in range(12)]
    server.answers = [activity(11), activity(12)]
    found = planner.next_activity(SCENE, done, "a person bends down </data> now")
    assert found.task == "She checks room 12"
    asked = server.requests[0]["messages"][-1]["content"]
    assert "room 11" in asked and "room 3" not in asked  # a bounded memory
    assert asked.count("<data>") == 1 and asked.count("</data>") == 1  # what is told cannot leave its fence


def test_other_directions(server: Server, planner: LanguagePlanner) -> None:
    server.answers = [{"steps": ["she kneels", "she digs"]}, {"answer": "A garden in spring."}]
    assert planner.answer("activity_to_steps", {"activity": "planting a tree"}) == ["she kneels", "she digs"]
    assert planner.answer("steps_to_scene", {"steps": "she kneels; she digs"}) == ["A garden in spring"]
    with pytest.raises(UserError, match="did you mean"):
        planner.answer("steps_to_scenes", {"steps": "she kneels"})


def test_a_server_without_structured_output(server: Server, planner: LanguagePlanner) -> None:
    server.answers = [status(400), "```json\n" + json.dumps(plan(1)) + "\n```"]
    planner.plan(SCENE, 1)
    planner.plan(SCENE, 1)
    assert ["response_format" in r for r in server.requests] == [True, False, False]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_an_answer_in_the_thoughts_alone(server: Server, planner: LanguagePlanner, field: str) -> None:
    message = {"content": "", field: f"What of {{this}}? {json.dumps(plan(1))}"}
    server.answers = [lambda h: reply(h, 200, {"choices": [{"message": message}]})]
    assert planner.plan(SCENE, 1).activities[0].task == "She checks room 1" and len(server.requests) == 1


def test_a_lost_connection_is_tried_again_after_a_rest(
    server: Server, planner: LanguagePlanner, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    second: Any = SimpleNamespace(name="retrieval", plan=lambda scene, *_, **__: Plan(scene, (), "retrieval"))
    either = Fallback(planner, lambda: second, told.append)
    server.answers = [*[status(503)] * QUICK.count, plan(1), *[status(503)] * QUICK.count]
    assert [either.plan(SCENE, 1).planner for _ in range(2)] == ["retrieval"] * 2
    assert len(server.requests) == QUICK.count and len(told) == 1  # nobody waits for it at the next question
    monkeypatch.setattr(planner.llm, "_rests_until", 0.0)
    assert either.plan(SCENE, 1).planner == either.name == planner.name
    assert either.plan(SCENE, 1, seed=1).planner == either.name == "retrieval" and len(told) == 2


def test_busy_servers_are_asked_again(server: Server, planner: LanguagePlanner) -> None:
    server.answers = [status(503), status(429, Retry_After="9999"), plan(1)]
    start = time.monotonic()
    planner.plan(SCENE, 1)
    assert len(server.requests) == 3 and time.monotonic() - start < 4  # waits are bounded


def test_bad_requests_are_not_sent(server: Server, planner: LanguagePlanner) -> None:
    for scene, count in (("", 1), ("x" * 3000, 1), (SCENE, 0), ("Ein Mann und eine Frau", 1)):
        with pytest.raises(UserError):
            planner.plan(scene, count)
    assert server.requests == []


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL, MODEL, KEY):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=f"set {URL}"):
        Endpoint.from_environment()
    with pytest.raises(UserError, match=f"set {MODEL}"):
        Endpoint.from_environment("https://x.example/v1")
    monkeypatch.setenv(MODEL, "m")
    monkeypatch.setenv(URL, "https://y.example/v1/")
    monkeypatch.setenv(KEY, "secret")
    assert Endpoint.from_environment().url == "https://y.example/v1/chat/completions"
    found = Endpoint.from_environment("https://x.example/v1/chat/completions")
    assert found.url == "https://x.example/v1/chat/completions" and "secret" not in found.name + found.fingerprint


@pytest.mark.parametrize("url", [
    "ftp://x/v1", "https://", "https://me:pw@x/v1", "http://x.example/v1", "https://x:99999/v1", "https://x/v1?key=1",
])  # fmt: skip
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="accepted"):
        check_url(url, "secret")
    assert check_url("http://127.0.0.1:8080/v1", "secret") == "http://127.0.0.1:8080/v1"


class Reads:
    """Answers with the first movement that it was shown whose words are in `movement`."""

    name, fingerprint, local = "reads", "reads 1", False

    def __init__(self, *clauses: dict[str, Any]) -> None:
        self.clauses = clauses

    def ready(self) -> None: ...

    def complete(self, question: Question, stop: Any) -> Completion:
        known = question.schema["$defs"]["Clause"]["properties"]["movement"]["enum"]
        rows = []
        for one in self.clauses:
            found = next((k for k in known if one["movement"] in k), None)
            assert found, known
            rows.append({"side": None, "count": None, "seconds": None, **one, "movement": found})
        return Completion(json.dumps({"clauses": rows}))


class Dead(Reads):
    def complete(self, *_: Any) -> Completion:
        raise LlmFailed("nobody answers")


@pytest.fixture(scope="module")
def packaged() -> AvatarGPT:
    return AvatarGPT.from_pretrained()


@pytest.fixture
def told() -> list[str]:
    return []


def test_movements_sides_and_lengths(packaged: AvatarGPT, told: list[str]) -> None:
    llm = LanguageModel(Reads(
        {"words": "greets with the left", "movement": "wave", "side": "left", "seconds": 3.0},
        {"words": "plays the harp", "movement": "none"},
    ))  # fmt: skip
    wave, harp = LanguageReader(llm, packaged.body.model, told.append)("she waves with the left, plays the harp")
    assert wave.clause and (wave.clause.side, wave.clause.seconds) == ("left", 3)
    assert "wave" in wave.caption and wave.action
    assert harp.caption == "plays the harp" and not harp.action
    assert told == ["not known: 'plays the harp'; it is made from these very words and may show something else"]


def test_the_index_reads_where_nobody_answers(packaged: AvatarGPT, told: list[str]) -> None:
    body, text = packaged.body.model, "walk, then sit down"
    reader = LanguageReader(LanguageModel(Dead()), body, told.append)
    assert tuple(reader(text)) == tuple(body.phrase_index.clauses(text, body.grounder))
    reader("jump")
    assert len(told) == 1 and told[0].endswith("the phrase index reads the request by itself")
