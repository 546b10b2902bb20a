"""What stands in for the model, the planner and the intent; also run as a program by the test that kills it."""

import sys
import time

from avatargpt.planning.types import Activity, Plan
from instruct_data.dialogue.acts import TAKES, read
from tests.clips import gliding
from vqvae.errors import UserError
from vqvae.motion import Motion, concatenate


def walk(seconds: float, seed: int = 0, caption: str = "") -> Motion:
    """A person gliding forward; `seed` sets the speed."""
    return gliding(max(2, round(seconds * 20)), 1 + seed % 7, caption=caption)


class FakeModel:
    """Answers with clips that can be computed and remembers how it was called."""

    grounder = None
    phrase_index = None
    source = ""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def generate(self, texts, seconds=None, seed=0, after=None):
        self.calls.append(("generate", texts[0], seconds, seed))
        return [walk(seconds or 2.0, seed, t) for t in texts]

    def extend(self, motion, seconds, text="", seed=0):
        self.calls.append(("extend", text, seconds, seed))
        return concatenate([motion, walk(seconds, seed)])

    def describe(self, motions):
        self.calls.append(("describe", [len(m) for m in motions]))
        return [f"a person walks {len(m)} frames" for m in motions]


def say(talk, *turns):
    """The last answer; each has to do what was said."""
    for turn in turns:
        reply = talk.say(turn)
        assert reply.ok, (turn, reply.text)
    return reply


class FakePlanner:
    name = "stand-in"

    def plan(self, scene, activities=None, temperature=0.7, seed=0, seconds=None):
        count = activities or 3
        each = () if seconds is None else (seconds / count / 2,) * 2
        return Plan(scene, tuple(Activity(f"activity {i}.", ("walk", "sit"), each) for i in range(count)), self.name)


class LineIntent:
    """Takes turns as lines of acts."""

    name = "line"

    def understand(self, heard):
        try:
            return read(heard.request)
        except UserError:
            if heard.request.split()[:1] and heard.request.split()[0] in TAKES:
                raise
            return None


class SlowModel(FakeModel):
    """Says that it has begun, and never ends, when it is asked for the word "forever"."""

    def generate(self, texts, seconds=None, seed=0, after=None):
        if "forever" in texts[0]:
            print("begun", flush=True)
            time.sleep(600)
        return super().generate(texts, seconds, seed, after)


if __name__ == "__main__":
    from avatargpt.chat import Conversation

    conversation = Conversation(SlowModel(), sys.argv[1], intent=LineIntent())
    for line in sys.stdin:
        conversation.say(line)
        print(len(conversation.memory.turns), flush=True)
