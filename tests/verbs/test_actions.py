"""The library of moves: what is found by other words, bounds, captions that `generate` takes as they are."""

from types import SimpleNamespace
from typing import Any

import pytest

from avatargpt import resources
from avatargpt.chat.conversation import Conversation
from avatargpt.chat.timeline import Segment, Timeline
from avatargpt.requests.phrase_index import PhraseIndex
from avatargpt.requests.resolver import RequestResolver
from avatargpt.verbs.actions import ActionsRequest, KnownAction, find_actions, list_actions
from avatargpt.verbs.request import make_request
from instruct_data.dialogue.acts import Act
from tests.chat.stand_ins import FakeModel
from tests.clips import gliding
from tests.factories import CountingGrounder
from vqvae.errors import UserError

GROUNDER: Any = CountingGrounder("walk wave raise hand bow left right arm", 1e-3)

# in other words than those of the captions -> the action
OTHER_WORDS = {
    "press the bell at the front door": "ring_doorbell", "take pie from the oven": "take_out_of_oven",
    "split logs for the stove": "chop", "embrace an old friend": "hug", "get the door for her": "open_door",
    "peek at your wristwatch": "check_watch", "skim the pages of the gazette": "read_newspaper",
    "say your prayers beside the bed": "pray", "go up the steps to the attic": "climb_stairs",
    "the fiddler strikes up a tune": "play_violin", "mop perspiration from the brow": "wipe_forehead",
    "warm frozen fingers at the campfire": "warm_hands_at_fire", "rap at the window": "knock",
    "do the washing up": "wash_dishes", "show the general the respect of a soldier": "salute",
    "drive a nail into the board": "hammer_nail", "sink a three-pointer": "shoot_basketball",
    "pull the oars of a little boat": "row", "cannot stand the smell": "pinch_nose", "a round of applause": "clap",
}  # fmt: skip


@pytest.fixture(scope="module")
def packaged() -> RequestResolver:
    return RequestResolver.load(resources.weights())


def find(packaged: RequestResolver, query: str = "", **fields: Any) -> list[KnownAction]:
    return find_actions(packaged, ActionsRequest(query, **fields))


@pytest.mark.parametrize("query", OTHER_WORDS)
def test_other_words_find_the_action_first(packaged: RequestResolver, query: str) -> None:
    found = find(packaged, query, count=5)
    assert found[0].name == OTHER_WORDS[query], [(a.name, a.score) for a in found]


def test_all_actions_come_in_order_of_name(packaged: RequestResolver) -> None:
    rows = find(packaged, count=2000)
    names = [a.name for a in rows]
    assert names == sorted(packaged.phrase_index.members) and len(names) > 1000
    assert all(a.score is None and not a.own for a in rows)
    assert find(packaged, " \t", count=3, offset=700) == rows[700:703], "blanks are no query"
    assert find(packaged, count=9, offset=len(rows) - 4) == rows[-4:]
    assert find(packaged, offset=len(rows)) == []
    checked = {a.name: a.checked for a in rows}
    assert checked["open_door"] and not checked["turn_key"]


def test_pages_of_a_query_join_without_a_gap(packaged: RequestResolver) -> None:
    rows = find(packaged, "open a door", count=40)
    assert rows == find(packaged, "open a door", count=25) + find(packaged, "open a door", count=15, offset=25)
    scores = [a.score for a in rows]
    assert scores == sorted(scores, reverse=True) and 0 <= scores[-1] < scores[0] <= 1
    assert rows[0].name == "open_door" and rows[0].seconds == 3.0
    assert [a.name for a in find(packaged, "A person OPENS the door.", count=1)] == ["open_door"]


def test_captions_are_taken_as_they_are(packaged: RequestResolver) -> None:
    rows = [*find(packaged, count=2000), *find(packaged, "a sport with a ball", count=50)]
    index = packaged.phrase_index
    for row in rows:
        captions = {index.captions[i][""] for i in index.members[row.name].tolist()}
        if any(index.row_of(text) is not None for text in captions):  # a few share theirs with another action
            assert [c.caption for c in index.read(row.caption).clauses] == [row.caption], row.name
    assert sum(index.row_of(row.caption) is None for row in rows) < 5
    assert len({r.caption for r in rows}) > 1000


@pytest.mark.parametrize(
    "query", ["zzz", "\N{CJK UNIFIED IDEOGRAPH-9580}", "walk " * 200, "@file", "7", "a\x00b", "\N{WAVING HAND SIGN} hi"]
)
def test_odd_queries_have_an_order_too(packaged: RequestResolver, query: str) -> None:
    found = find(packaged, query, count=3)
    assert len({a.name for a in found}) == 3 and all(0 <= (a.score or 0) <= 1 for a in found)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"query": "?!"}, "signs alone"), ({"query": "\udce9"}, "valid string"), ({"count": 0}, "count: 0; accepted 1 to"),
     ({"query": "x" * 1001}, "query: 1001 characters; accepted at most 1000"),
     ({"count": 2001}, "accepted 1 to 2000"), ({"offset": -1}, "offset: -1; accepted 0 to"),
     ({"offset": True}, "offset: True"), ({"count": 2.5}, "count: 2.5"), ({"query": 3}, "query: 3")],
)  # fmt: skip
def test_mistakes_are_told(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make_request(ActionsRequest, **fields)
    assert message in str(caught.value)


def test_own_actions_are_found_without_a_reader() -> None:
    keys = ["a person walks", "someone is walking", "a person bows", "raise the left arm of the zibble"]
    captions = [{"": "a person walks"}, {"": "a person walks"}, {"": "a person bows"}, {"": keys[3]}]
    lengths = {"a person walks": [10, 20, 40], keys[3]: [7, 8]}
    classes = ["walk", "walk", "bow", "zibble"]
    index = PhraseIndex(keys, captions, classes, [""] * 4, {}, lengths, GROUNDER.sentence(keys))
    index.user_actions = frozenset(["zibble"])
    parts = SimpleNamespace(phrase_index=index, grounder=GROUNDER)
    rows = find_actions(parts, ActionsRequest())
    assert [(a.name, a.seconds, a.own) for a in rows] == [
        ("bow", None, False),
        ("walk", 4.0, False),
        ("zibble", 1.5, True),
    ]
    first, *_ = find_actions(parts, ActionsRequest("left arm up"))
    assert (first.name, first.caption) == ("zibble", keys[3]) and first.score is not None and first.score > 0.4
    assert first.own and first.seconds == 1.5


def test_a_model_without_an_index_says_so() -> None:
    bare = SimpleNamespace(phrase_index=None, grounder=None)
    with pytest.raises(UserError, match="no phrase index"):
        list_actions(SimpleNamespace(body=SimpleNamespace(model=bare)), ActionsRequest())  # type: ignore[arg-type]


def test_a_caption_is_a_turn_of_its_own_words(packaged: RequestResolver) -> None:
    class Known(FakeModel):
        phrase_index = packaged.phrase_index

    class Nobody:
        name = "nobody"

        def understand(self, turn: Any) -> Any:
            raise UserError("read by another")

    talk = Conversation(Known(), intent=Nobody())
    captions = [a.caption for a in find(packaged, count=60, offset=300)]
    assert [talk.read(text) for text in captions] == [[Act("make", text=text)] for text in captions]
    talk.memory.now = Timeline().replace_segments([Segment("a person glides", gliding(20), 0)])
    assert talk.read(captions[0]) == [Act("then", text=captions[0])]
    with pytest.raises(UserError, match="read by another"):
        talk.read("close the tap, would you")
