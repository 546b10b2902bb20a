"""`Conversation`: turns in, motion and answers out, with memory, undo and a session folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatargpt.chat import commands, hearing
from avatargpt.chat.acts import perform
from avatargpt.chat.answering import clarifying
from avatargpt.chat.asking import LanguageIntent
from avatargpt.chat.filenames import simplified
from avatargpt.chat.filing import relative
from avatargpt.chat.heard import Heard
from avatargpt.chat.intent import Intent, check_named
from avatargpt.chat.reading import open_intent
from avatargpt.chat.scene import Progress, Scene
from avatargpt.chat.store import MOST_TURNS, Memory, Store
from avatargpt.chat.timeline import Timeline
from avatargpt.chat.turning import ALL_STEPS
from avatargpt.chat.viewing import TURN, sheet
from avatargpt.options import mix
from instruct_data.dialogue.acts import Act
from vqvae.errors import UserError

if TYPE_CHECKING:
    from avatargpt.llm import LanguageModel
    from avatargpt.planning.types import Planner
    from vqvae.motion import Motion

COMMAND = "command"
PREVIEWS = "avatargpt-previews"


@dataclass(frozen=True)
class Reply:
    """What came of a turn.

    Attributes:
        text: the answer, one or more lines.
        acts: that were done, in order.
        motion: what the turn was about, or None.
        files: that were written.
        ok: False when something could not be done; `text` says what and what is accepted.
        understood: who read the turn: ``reader``, ``network``, ``command``, a language
            model by its name, or empty = nobody.
        over: the user wants to leave.
        seconds: length of the whole after the turn.
    """

    text: str
    acts: tuple[Act, ...] = ()
    motion: Motion | None = None
    files: tuple[Path, ...] = ()
    ok: bool = True
    understood: str = ""
    over: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; the motion is its number of frames."""
        return {
            "reply": self.text, "ok": self.ok, "acts": [a.to_json() for a in self.acts],
            "understood": self.understood, "files": [str(f) for f in self.files], "seconds": round(self.seconds, 3),
            "frames": len(self.motion) if self.motion else 0,
        }  # fmt: skip


class Conversation:
    """A conversation over one timeline.

    Args:
        model: an `avatargpt.AvatarGPT`, or anything with its methods.
        folder: of the session, read when it holds one and written after every turn; None = nothing is kept.
        planner: for plans: a planner, or the name that `avatargpt.planning.load_planner` takes.
        intent: who reads turns: ``turns``, ``network``, or any `avatargpt.chat.intent.Intent`.
        outputs: folder that saved files go to, and none outside of it whatever a turn names; None = the working
            directory, or wherever a turn names.
        seed: the same turns with the same seed give the same motion; None = 0, or as the session has it.
        view: draw a contact sheet of the timeline after every turn that changes it.
        progress: called with (done, total) during long work.
        llm: a language model that reads turns, and plans where `planner` names nobody. tell: takes the line that says
            that it gave no answer.

    Raises:
        UserError: a damaged session, or an unknown intent.
    """

    def __init__(
        self, model: Any, folder: str | Path | None = None, planner: Planner | str | None = None,
        intent: Intent | str = "turns", outputs: str | Path | None = None, seed: int | None = None, view: bool = False,
        progress: Progress = None, llm: LanguageModel | None = None, tell: Callable[[str], None] | None = None,
    ) -> None:  # fmt: skip
        self.model, self.view, self.progress = model, view, progress
        self.outputs, self._bounded = (Path.cwd(), False) if outputs is None else (Path(outputs), True)
        self._planner, self._llm, self._tell = planner, llm, tell
        self._intent = open_intent(model, intent) if isinstance(intent, str) else intent
        if llm is not None:
            self._intent = LanguageIntent(llm, self._intent, tell or logging.getLogger(__name__).warning)
        self.store = Store(Path(folder)) if folder is not None else None
        found = self.store.load() if self.store else None
        self.memory = found or Memory()
        if seed is not None:
            self.memory.seed = seed
        self.resumed = found is not None

    @property
    def timeline(self) -> Timeline:
        """The segments as they are."""
        return self.memory.now

    @property
    def motion(self) -> Motion | None:
        """All of it, or None when nothing was made yet."""
        return self.timeline.whole if self.timeline.segments else None

    @property
    def previews(self) -> Path:
        """Where pictures for looking at go: the session's folder, or one among the outputs."""
        return self.store.folder if self.store else self.outputs / PREVIEWS

    def planner(self) -> Planner:
        """The planner, loaded when it is first needed.

        Raises:
            UserError: there is none.
        """
        if self._planner is None or isinstance(self._planner, str):
            from avatargpt.planning import load_planner

            self._planner = load_planner(self._planner or "", self.model, self._llm, self._tell)
        return self._planner

    def say(self, text: str) -> Reply:
        """One turn.

        Mistakes, impossible wishes and full disks are answered (``ok`` is False), never raised; what a turn could not
        finish leaves the timeline as it was.

        Args:
            text: in the user's words, or a command such as ``/undo``.
        """
        before = self.memory.copy()
        try:
            reply = self._turn(text)
            said = {"user": hearing.cleaned(text), "acts": [a.to_json() for a in reply.acts], "reply": reply.text}
            self.memory.turns = [*self.memory.turns, said][-MOST_TURNS:]
            return self._kept(reply)
        except (UserError, OSError, MemoryError) as e:
            self.memory = before
            return Reply(_mistake(e), ok=False, seconds=self.timeline.seconds)
        except BaseException:  # an interrupted turn has not happened
            self.memory = before
            raise

    def _kept(self, reply: Reply) -> Reply:
        """Write the session; when that fails the turn stands, and the reply says so."""
        if self.store is None:
            return reply
        try:
            self.store.save(self.memory)
        except (UserError, OSError) as e:
            return replace(reply, text=f"{reply.text}\nThe session could not be written: {_mistake(e)}", ok=False)
        return reply

    def _turn(self, text: str) -> Reply:
        text = hearing.cleaned(text)
        if commands.is_command(text):
            act = commands.command(text)
            if act is None:
                return Reply("Goodbye.", understood=COMMAND, over=True, seconds=self.timeline.seconds)
            if isinstance(act, int):
                self.memory.seed = act
                return Reply(f"The seed is {act}.", understood=COMMAND, seconds=self.timeline.seconds)
            return self._do([act], text, COMMAND)
        plain, files = simplified(text)
        hearing.check_english(plain)
        heard = self._heard(plain, tuple(files))
        check_named(heard)
        acts = self._intent.understand(heard)
        if not acts:
            asked = getattr(self._intent, "asked", "")
            return Reply(asked or clarifying(self.timeline), ok=False, seconds=self.timeline.seconds)
        return self._do(acts, text, getattr(self._intent, "last", self._intent.name))

    def _heard(self, plain: str, files: tuple[str, ...]) -> Heard:
        now = self.timeline
        history = tuple(t["user"] for t in self.memory.turns[-2:] if not commands.is_command(t["user"]))
        return Heard(
            plain.lower(), now.text, tuple(s.caption for s in now.segments), len(now.takes), history, files,
            now.plan is not None, tuple(s.motion.seconds for s in now.segments),
        )  # fmt: skip

    def _do(self, acts: Sequence[Act], text: str, understood: str) -> Reply:
        said: list[str] = []
        files: list[Path] = []
        motion, done, ok, before = None, [], True, self.timeline
        for act in acts:
            try:
                if act.do in ("undo", "redo"):
                    said.append(self._travel(act))
                    motion = self.motion
                else:
                    result = perform(self._scene(text), act)
                    if result.state is not self.timeline:
                        self.memory.push(result.state)
                        self.memory.seed = mix(self.memory.seed, 1)
                    if act.do in ("save", "export") and act.segment is None and result.files:
                        self.memory.saved = relative(result.files[-1], self.outputs)
                    said.append(result.said)
                    files += result.files
                    motion = result.shown or motion
                done.append(act)
            except UserError as e:
                if not done:
                    raise
                said.append(f"That far, then: {_mistake(e)}")  # what was done before it stays
                ok = False
                break
        if self.view and self.timeline.segments and self.timeline is not before:
            try:
                files.append(sheet(self.timeline, self._scene(text).preview(TURN)))
            except UserError as e:  # the turn itself was done
                said.append(f"Not drawn: {_mistake(e)}")
                ok = False
        return Reply("\n".join(said), tuple(done), motion, tuple(files), ok, understood, seconds=self.timeline.seconds)

    def _scene(self, text: str) -> Scene:
        return Scene(
            self.model, self.planner, self.outputs, self.previews, self.timeline, self.memory.seed, text,
            self.memory.saved, self.progress, self._bounded,
        )  # fmt: skip

    def _travel(self, act: Act) -> str:
        """Undo or redo, as many steps as there are."""
        memory, wanted = self.memory, act.steps or 1
        source, target = (memory.past, memory.future) if act.do == "undo" else (memory.future, memory.past)
        if not source:
            raise UserError(f"there is nothing to {act.do}")
        steps = min(wanted, len(source))
        for _ in range(steps):
            target.append(replace(memory.now))  # a copy keeps no composed motion in memory
            memory.now = source.pop()
        verb = "Undone" if act.do == "undo" else "Redone"
        short = f" (there were only {steps})" if steps < wanted != ALL_STEPS else ""
        what = f"{verb}{'' if steps == 1 else f' {steps} steps'}{short}."
        count = len(memory.now.segments)
        if not count:
            return f"{what} Nothing is there now."
        return f"{what} {count} segment{'' if count == 1 else 's'}, {memory.now.seconds:.1f} s: {memory.now.caption}."


def _mistake(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "That is too much for this machine's memory; shorter motions need less."
    if isinstance(error, OSError):
        return f"Cannot write or read {error.filename or 'a file'}: {error.strerror or error}."
    text = " ".join(str(error).split())
    if text.split(" ")[0].isalpha():  # and not the name of a file
        text = text[:1].upper() + text[1:]
    return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'}"
