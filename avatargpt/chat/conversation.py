"""`Conversation`: turns in, motion and answers out, with memory, undo and a session folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from avatargpt import planning
from avatargpt.chat import keying, motion_acts, segments  # noqa: F401  the acts register themselves
from avatargpt.chat.acts import ask_back, relative
from avatargpt.chat.intent import Intent, LanguageIntent, check_numbers, open_intent
from avatargpt.chat.maker import MotionMaker
from avatargpt.chat.scene import TURN_PICTURE, ActContext, OnDraft, OnSegment, Progress, perform, sheet
from avatargpt.chat.timeline import MAX_TURNS, Memory, SessionStore, Timeline
from avatargpt.chat.turn_text import ChatTurn, check_english, clean_turn, command, is_command, simplify_paths
from avatargpt.llm import LanguageModel
from avatargpt.options import mix
from avatargpt.planning.types import Planner
from instruct_data.dialogue.acts import Act, read, write
from instruct_data.face.described import describe_score
from instruct_data.reading.examples import Shown, shorten_acts, write_timeline
from instruct_data.requests.script import read_script
from vqvae.errors import UserError, WriteError
from vqvae.motion import Motion

COMMAND, ACTS = "command", "acts"
PREVIEWS = "avatargpt-previews"
EACH = ("edit", "retime", "speed", "mirror", "delete", "move", "loop", "rename")  # acts that several segments get
MAX_CAPTIONS = 6  # that an answer lists
MAX_SAID = 400  # characters of a turn that failed which are remembered
SHOWN_TURNS = 6  # that an answer about the history lists
ALL_STEPS = 99  # of undo: as many as there are


@dataclass(frozen=True)
class Reply:
    """The answer to a turn."""

    text: str  # one or more lines
    acts: tuple[Act, ...] = ()  # that were done, in order
    motion: Motion | None = None  # that the turn was about, or None
    files: tuple[Path, ...] = ()  # that were written
    ok: bool = True  # False when something could not be done; `text` says what and what is accepted
    understood: str = ""  # ``reader``, ``command``, ``acts``, the name of a language model, or empty = not understood
    unwritten: bool = False  # whether the disk, or a folder on it, took no file
    over: bool = False  # the user wants to leave
    seconds: float = 0.0  # length of the whole timeline after the turn

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
        folder: of the session, read when it holds one and written after every turn; None = no session.
        planner: for plans: a planner, or the name that `avatargpt.planning.load_planner` takes.
        intent: reads turns; None = the reader of the model's folder.
        outputs: folder that bounds saved files; None = the working directory, without a bound.
        seed: the same turns with the same seed give the same motion; None = 0, or that of the session.
        view: draw a contact sheet of the timeline after every turn that changes it.
        progress: called with (done, total) during long work.
        llm: a language model that reads turns, and plans where `planner` is None. tell: takes the line about a missing
            answer of it.
        served: the user is at another machine: files are read in the outputs alone, nothing is opened on this desktop.
        on_segment: called while a plan is made, with the timeline as far as it has come (`Timeline.stretch` gives the
            motion) and the number, from 1, of the segment that is finished. A turn that fails has changed nothing.
        on_draft: called while a segment is made, with a timeline that ends with it as far as it has come: its first
            actions, or what may still give way to a better one.
        faces: captions say what a face does, too; formats that hold one are saved with it (`avatar.composition`).

    Raises:
        UserError: a damaged session, or a model without a reader of turns.
    """

    def __init__(
        self, model: Any, folder: str | Path | None = None, planner: Planner | str | None = None,
        intent: Intent | None = None, outputs: str | Path | None = None, seed: int | None = None, view: bool = False,
        progress: Progress = None, llm: LanguageModel | None = None, tell: Callable[[str], None] | None = None,
        served: bool = False, on_segment: OnSegment = None, on_draft: OnDraft = None, faces: bool = False,
    ) -> None:  # fmt: skip
        self.model, self.view, self.progress, self._served = model, view, progress, served
        self.on_segment, self.on_draft, self._maker = on_segment, on_draft, MotionMaker(model, faces)
        self.outputs, self._bounded = (Path.cwd(), False) if outputs is None else (Path(outputs), True)
        self._planner, self._llm, self._tell = planner, llm, tell
        self._intent = open_intent(model) if intent is None else intent
        if llm is not None:
            self._intent = LanguageIntent(llm, self._intent, tell or logging.getLogger(__name__).warning)
        self.store = SessionStore(Path(folder)) if folder is not None else None
        memory = self.store.load() if self.store else None
        self.memory = memory or Memory()
        if seed is not None:
            self.memory.seed = seed
        self.resumed = memory is not None

    @property
    def timeline(self) -> Timeline:
        """The segments as they are."""
        return self.memory.now

    @property
    def motion(self) -> Motion | None:
        """All of it, or None where there is none yet."""
        return self.timeline.motion if self.timeline.segments else None

    @property
    def previews(self) -> Path:
        """Where pictures for looking at go: the session's folder, or one among the outputs."""
        return self.store.folder if self.store and not self._served else self.outputs / PREVIEWS

    def close(self) -> None:
        """Let another process go on with the session's folder."""
        if self.store is not None:
            self.store.close()

    def planner(self) -> Planner:
        """The planner, loaded when it is first needed; raises UserError where there is none."""
        if self._planner is None or isinstance(self._planner, str):
            self._planner = planning.load_planner(self._planner or "", self.model, self._llm, self._tell)
        return self._planner

    def say(self, text: str) -> Reply:
        """One turn, in the user's words, or a command such as ``/undo``.

        Mistakes, impossible wishes and full disks are answered (``ok`` is False), never raised; an unfinished turn
        leaves the timeline unchanged.
        """
        return self._answer_turn(text, lambda: self._turn(text))

    def do(self, *acts: Act | str) -> Reply:
        """The acts themselves, as one turn without words: ``talk.do("plan 120s: a picnic", Act("loop", times=2))``.

        Args:
            acts: each an act, or a line of them (`instruct_data.dialogue.acts`).

        Raises:
            UserError: a line that holds no acts. What they cannot do is answered, as in `say`.
        """
        done = [a for act in acts for a in (read(act) if isinstance(act, str) else [act])]
        if not done:
            raise UserError("no act; accepted: one or more, e.g. make: a person waves")
        line = write(done)

        return self._answer_turn(line, lambda: self._do(done, line, ACTS))

    def _answer_turn(self, text: str, turn: Callable[[], Reply]) -> Reply:
        """What a turn gives, remembered and stored; mistakes are answers, and what an interrupt left is taken back."""
        before = self.memory.copy()
        try:
            reply = replace(turn(), seconds=self.timeline.seconds)
            acts = [a.to_json() for a in reply.acts]
            row = {"user": clean_turn(text), "acts": acts, "reply": reply.text, "ok": reply.ok}
            self.memory.turns = [*self.memory.turns, row][-MAX_TURNS:]
            return self._save_session(reply)
        except (UserError, OSError, MemoryError) as e:
            self.memory = before
            if (said := " ".join(text.split())[:MAX_SAID]) and not is_command(said):  # the next turn may answer it
                row = {"user": said, "acts": [], "reply": _mistake(e), "ok": False}
                self.memory.turns = [*self.memory.turns, row][-MAX_TURNS:]
            return Reply(_mistake(e), ok=False, unwritten=_is_unwritten(e), seconds=self.timeline.seconds)
        except BaseException:  # an interrupted turn has not happened
            self.memory = before
            raise

    def _save_session(self, reply: Reply) -> Reply:
        """Write the session; after a failure the turn stays done, and the reply says so."""
        if self.store is None:
            return reply
        try:
            self.store.save(self.memory)
        except (UserError, OSError) as e:
            text = f"{reply.text}\nThe session could not be written: {_mistake(e)}"
            return replace(reply, text=text, ok=False, unwritten=True)
        return reply

    def _turn(self, text: str) -> Reply:
        text = clean_turn(text)
        if is_command(text):
            act = command(text)
            if act is None:
                return Reply("Goodbye.", understood=COMMAND, over=True)
            if isinstance(act, int):
                self.memory.seed = act
                return Reply(f"The seed is {act}.", understood=COMMAND)
            return self._do([act], text, COMMAND)
        acts = self._understand_turn(text)
        if not acts:
            return Reply(self._question(), ok=False)
        return self._do(acts, text, getattr(self._intent, "last", self._intent.name))

    def read(self, text: str) -> list[Act]:
        """The acts that a turn means as things stand, without doing them; commands are not read.

        Raises:
            UserError: words that are not understood, that leave something open, or that cannot be meant.
        """
        acts = self._understand_turn(clean_turn(text))
        if not acts:
            raise UserError(self._question())
        return acts

    def _understand_turn(self, text: str) -> list[Act]:
        """The acts of a turn, none where it is not understood."""
        plain, files = simplify_paths(text)
        if script := read_script(plain):
            return [
                Act("then" if n else "make", text=p.step, seconds=round(p.seconds, 3)) for n, p in enumerate(script)
            ]  # fmt: skip
        if (index := self.model.phrase_index) is not None and index.row_of(plain) is not None:
            return [Act("then" if self.timeline.segments else "make", text=plain)]
        turn = self._chat_turn(plain, tuple(files))
        check_numbers(turn)
        acts = self._intent.understand(turn) or []
        if not acts or any(a.text or a.scene or a.change for a in acts):
            check_english(plain)  # of what is to be moved; orders without such words are known as they are
        return acts

    def _question(self) -> str:
        return getattr(self._intent, "question", "") or ask_back(self.timeline)

    def _chat_turn(self, plain: str, files: tuple[str, ...]) -> ChatTurn:
        """A turn with its context."""
        now, turns = self.timeline, [t for t in self.memory.turns if not is_command(t["user"])]
        rows, rounds = now.segments, now.whole_rounds
        shown = [
            Shown(s.caption, s.motion.seconds, s.name or s.activity, times // rounds,
                  describe_score(s.score) if s.score else "")
            for s, times in zip(rows, now.rounds, strict=True)
        ]  # fmt: skip
        last = shorten_acts(turns[-1]["acts"] if turns else [])
        return ChatTurn(
            plain, tuple(s.caption for s in rows), tuple(s.motion.seconds for s in rows), tuple(s.name for s in rows),
            tuple(s.activity for s in rows), tuple(write_timeline(shown, rounds)), len(now.takes),
            tuple((t["user"], t["reply"]) for t in turns[-2:]), tuple(last), files,
            len(self.memory.past[-1].segments) if self.memory.past else None,
        )  # fmt: skip

    def _do(self, acts: Sequence[Act], text: str, understood: str) -> Reply:
        lines: list[str] = []
        files: list[Path] = []
        motion: Motion | None = None
        done_acts: list[Act] = []
        ok, unwritten, before, changed, pushed = True, False, self.timeline, False, False
        alike: list[int] = []  # lines about one more segment that got what the one before got
        for act in acts:
            try:
                if act.do in ("undo", "redo"):
                    lines.append(self._travel(act))
                    changed, pushed = True, False
                else:
                    result = perform(self._scene(text), act)
                    if result.state is not self.timeline:
                        settled, numbers = segments.settle_timeline(self._scene(text, result.state), self.timeline)
                        if done_acts and _is_alike(done_acts[-1], act):
                            alike.append(len(lines))
                        if not pushed:  # all that a turn changes is one step of undo
                            self.memory.push(self.timeline)
                        changes = self.timeline.changes + 1 if pushed else 1
                        self.memory.now, pushed = replace(settled, changes=changes), True
                        self.memory.seed = mix(self.memory.seed, 1)
                        if numbers:
                            which = " and ".join(map(str, numbers))
                            note = f"Made again to begin where the one before ends: segment {which}."
                            remarks = {settled.segments[n - 1].remark for n in numbers} - {""}
                            note = " ".join([note, *sorted(r for r in remarks if r not in result.text)])
                            result = replace(result, text=f"{result.text}\n{note}")
                    if act.do in ("save", "export") and act.segment is None and result.files:
                        self.memory.saved = relative(result.files[-1], self.outputs)
                    lines.append(result.text)
                    files += result.files
                    changed = changed or self.timeline is not before
                    motion = result.motion or motion
                done_acts.append(act)
            except UserError as e:
                if not done_acts:
                    raise
                lines.append(f"That far, then: {_mistake(e)}")  # what was done before it stays
                ok, unwritten = False, _is_unwritten(e)
                break
        if self.timeline is not before and not {"undo", "redo"} & {a.do for a in done_acts}:
            lines += segments.note_new_meetings(before, self.timeline)
        if self.view and self.timeline.segments and self.timeline is not before:
            try:
                files.append(sheet(self.timeline, self._scene(text).preview(TURN_PICTURE)))
            except UserError as e:  # the turn itself was done
                lines.append(f"Not drawn: {_mistake(e)}")
                ok, unwritten = False, unwritten or _is_unwritten(e)
        if len(alike) >= MAX_CAPTIONS:  # told by the first one
            lines[alike[0] - 1] += f" And {len(alike)} more segments likewise."
            lines = [line for i, line in enumerate(lines) if i not in alike]
        if changed and motion is None:
            motion = self.motion
        return Reply("\n".join(lines), tuple(done_acts), motion, tuple(files), ok, understood, unwritten)

    def _scene(self, text: str, state: Timeline | None = None) -> ActContext:
        state = self.timeline if state is None else state
        return ActContext(
            self.model, self._maker, self.planner, self.outputs, self.previews, state, self.memory.seed, text,
            self.memory.saved, self.progress, self._bounded, self._served, self.on_segment,
            self.on_draft, tuple((t["user"], t["reply"]) for t in self.memory.turns[-SHOWN_TURNS:]),
        )  # fmt: skip

    def _travel(self, act: Act) -> str:
        """Undo or redo, by whole turns, as far as there are any."""
        memory, requested = self.memory, act.steps or 1
        source, target = (memory.past, memory.future) if act.do == "undo" else (memory.future, memory.past)
        if not source:
            raise UserError(f"there is nothing to {act.do}")
        steps, left = 0, requested
        while source and left > 0:  # of acts, but the acts of a turn go together
            left -= (memory.now if act.do == "undo" else source[-1]).changes
            target.append(replace(memory.now))  # a copy keeps no composed motion in memory
            memory.now, steps = source.pop(), steps + 1
        done = memory.turns[-1]["acts"] if memory.turns else []
        segment = (done[-1].get("segment") or 0) if done else 0
        if act.do == "undo" and steps == 1 and 1 <= segment <= len(memory.now.segments):
            memory.now = replace(memory.now, focus=segment - 1)  # what was undone is spoken of
        verb = "Undone" if act.do == "undo" else "Redone"
        short = f" (there were only {steps})" if left > 0 and requested != ALL_STEPS else ""
        what = f"{verb}{'' if steps == 1 else f' {steps} steps'}{short}."
        count = len(memory.now.segments)
        if not count:
            return f"{what} Nothing is there now."
        captions = f": {memory.now.caption}" if count <= MAX_CAPTIONS else ""
        return f"{what} {count} segment{'' if count == 1 else 's'}, {memory.now.seconds:.1f} s{captions}."


def _is_alike(before: Act, act: Act) -> bool:
    """Whether an act does to one more segment, or take, what the one before it did."""
    if act.do == before.do == "again":
        return act.segment == before.segment
    return act.do == before.do and act.do in EACH and (act.do == "move" or act.segment != before.segment)


def _is_unwritten(error: BaseException) -> bool:
    return isinstance(error, WriteError | OSError)


def _mistake(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "That is too much for this machine's memory; shorter motions need less."
    if isinstance(error, OSError):
        return f"Cannot write or read {error.filename or 'a file'}: {error.strerror or error}."
    text = " ".join(str(error).split())
    if text.split(" ")[0].isalpha():  # and not the name of a file
        text = text[:1].upper() + text[1:]
    return f"{text}{'' if text.endswith(('.', '?', '!')) else '.'}"
