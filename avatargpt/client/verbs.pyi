# Written by scripts/contract.py from openapi.json.
# ruff: noqa
from collections.abc import Iterator
from typing import Any, Literal, NotRequired, TypedDict

from . import results as given
from .results import Clip

DOCUMENT: dict[str, Any]

def list_verbs(document: Any = ...) -> Iterator[tuple[str, str, str, dict[str, Any], str]]: ...

ActFaceRequest = TypedDict("ActFaceRequest", {
    "text": NotRequired[str],
    "emotion": NotRequired[str],
    "sound": NotRequired[given.File],
    "transcript": NotRequired[str],
    "seconds": NotRequired[float | None],
    "seed": NotRequired[int],
    "lips": NotRequired[Literal['rule', 'recorded']],
    "gain": NotRequired[list[str] | None],
    "offset": NotRequired[list[str] | None],
    "mouth": NotRequired[float],
    "brow": NotRequired[float],
    "symmetry": NotRequired[float],
    "smooth": NotRequired[float],
    "blink_rate": NotRequired[float | None],
    "idle": NotRequired[float | None],
    "upper": NotRequired[float | None],
    "eye_contact": NotRequired[float],
})
Actions = TypedDict("Actions", {
    "actions": list[KnownAction],
})
ActionsRequest = TypedDict("ActionsRequest", {
    "query": NotRequired[str],
    "count": NotRequired[int],
    "offset": NotRequired[int],
})
Activity = TypedDict("Activity", {
    "name": str,
    "steps": list[Step],
    "reason": str,
})
AdaptedExtend = TypedDict("AdaptedExtend", {
    "motion": Clip | str,
    "seconds": NotRequired[float],
    "text": NotRequired[str],
    "seed": NotRequired[int],
    "best_of": NotRequired[int | None],
    "adapter": NotRequired[str],
})
AdaptedGenerate = TypedDict("AdaptedGenerate", {
    "prompt": NotRequired[str],
    "seconds": NotRequired[float | None],
    "seed": NotRequired[int],
    "guidance": NotRequired[float],
    "best_of": NotRequired[int],
    "temperature": NotRequired[float],
    "num": NotRequired[int],
    "literal": NotRequired[bool],
    "after": NotRequired[Clip | str],
    "request": NotRequired[MotionRequest | None],
    "modalities": NotRequired[str],
    "times": NotRequired[int | None],
    "turn": NotRequired[float | None],
    "path": NotRequired[str | None],
    "waypoints": NotRequired[list[tuple[float, float]] | None],
    "tempo": NotRequired[float | None],
    "loop": NotRequired[bool],
    "in_place": NotRequired[bool],
    "pins": NotRequired[list[Pin] | None],
    "start_pose": NotRequired[Clip | str],
    "end_pose": NotRequired[Clip | str],
    "fps": NotRequired[float | None],
    "strict": NotRequired[bool],
    "adapter": NotRequired[str],
})
AdaptedInbetween = TypedDict("AdaptedInbetween", {
    "start": Clip | str,
    "end": Clip | str,
    "seconds": NotRequired[float],
    "text": NotRequired[str],
    "seed": NotRequired[int],
    "best_of": NotRequired[int | None],
    "keep_place": NotRequired[bool],
    "adapter": NotRequired[str],
})
AppendBody = TypedDict("AppendBody", {
    "motion": str,
    "caption": NotRequired[str],
})
Begun = TypedDict("Begun", {
    "job": Job,
})
Body = TypedDict("Body", {
})
CaptureRequest = TypedDict("CaptureRequest", {
    "film": given.File,
    "start": NotRequired[float],
    "end": NotRequired[float | None],
    "face": NotRequired[bool],
    "body": NotRequired[bool | None],
    "person": NotRequired[int],
    "poses": NotRequired[str],
    "neutral": NotRequired[bool],
    "focal": NotRequired[float | None],
    "picture_rate": NotRequired[float],
})
Changed = TypedDict("Changed", {
    "version": int,
})
Channels = TypedDict("Channels", {
    "body": bool,
    "hands": bool,
    "face": bool,
})
Choice = TypedDict("Choice", {
    "index": int,
    "message": dict[str, Any],
    "finish_reason": Literal['stop', 'tool_calls'],
    "logprobs": None,
})
Clause = TypedDict("Clause", {
    "action": str,
    "together": NotRequired[bool],
    "denied": NotRequired[bool],
    "side": NotRequired[Literal['left', 'right', 'both', 'alternating'] | None],
    "direction": NotRequired[Literal['forward', 'backward', 'left', 'right', 'up', 'down', 'forward_left', 'forward_right', 'backward_left', 'backward_right'] | None],
    "path": NotRequired[Literal['line', 'circle', 'half_circle', 'figure_eight', 'square', 'triangle', 'zigzag', 'curve', 'back_and_forth', 'spiral'] | None],
    "distance": NotRequired[float | None],
    "turn": NotRequired[float | None],
    "times": NotRequired[int | None],
    "seconds": NotRequired[float | None],
    "until_end": NotRequired[bool],
    "tempo": NotRequired[Literal['very_slow', 'slow', 'fast', 'very_fast', 'speeding_up', 'slowing_down'] | None],
    "factor": NotRequired[float | None],
    "size": NotRequired[Literal['slight', 'small', 'large', 'very_large'] | None],
    "style": NotRequired[str],
    "strength": NotRequired[Literal['slight', 'strong'] | None],
    "target": NotRequired[str],
    "other": NotRequired[str],
    "in_place": NotRequired[bool],
    "hold": NotRequired[bool],
    "waypoints": NotRequired[list[tuple[float, float]]],
    "name": NotRequired[str],
    "others": NotRequired[dict[str, float]],
    "caption": NotRequired[str],
    "known": NotRequired[bool | None],
    "nearest": NotRequired[str],
    "sure": NotRequired[float],
})
Completion = TypedDict("Completion", {
    "id": str,
    "object": Literal['chat.completion'],
    "created": int,
    "model": str,
    "choices": list[Choice],
    "usage": dict[str, int],
    "system_fingerprint": None,
})
CompletionBody = TypedDict("CompletionBody", {
    "messages": list[Message],
    "model": NotRequired[str],
    "stream": NotRequired[bool],
    "stream_options": NotRequired[dict[str, Any] | None],
    "tools": NotRequired[list[NamedFunction] | None],
    "tool_choice": NotRequired[str | NamedFunction | None],
    "parallel_tool_calls": NotRequired[bool | None],
    "seed": NotRequired[int | None],
    "n": NotRequired[Literal[1] | None],
    "motion": NotRequired[Literal['links', 'gltf']],
})
DescribeRequest = TypedDict("DescribeRequest", {
    "motion": Clip | str,
    "num": NotRequired[int],
    "seed": NotRequired[int],
    "best_of": NotRequired[int | None],
    "feeling": NotRequired[bool],
    "transcript": NotRequired[str | list[str]],
})
Descriptions = TypedDict("Descriptions", {
    "descriptions": list[str],
    "notes": list[str],
})
Draft = TypedDict("Draft", {
    "take": int,
    "n": int,
    "start": float,
    "seconds": float,
    "caption": str,
    "activity": str,
    "frames": str,
})
EditRequest = TypedDict("EditRequest", {
    "motion": Clip | str,
    "text": str,
    "seed": NotRequired[int],
})
Error = TypedDict("Error", {
    "code": str,
    "message": str,
    "where": str,
})
Export = TypedDict("Export", {
    "file": File,
})
Failure = TypedDict("Failure", {
    "error": Error,
})
File = TypedDict("File", {
    "name": str,
    "href": str,
    "media_type": str,
    "bytes": int,
})
Function = TypedDict("Function", {
    "name": NotRequired[str],
})
GestureRequest = TypedDict("GestureRequest", {
    "sound": given.File,
    "transcript": NotRequired[str],
    "interlocutor": NotRequired[given.File],
    "interlocutor_transcript": NotRequired[str],
    "speaker": NotRequired[str | int | None],
    "seed": NotRequired[int],
    "semantic": NotRequired[float | None],
    "calm": NotRequired[bool],
    "energy": NotRequired[float],
    "cues": NotRequired[list[str] | None],
    "temperature": NotRequired[float],
    "smooth": NotRequired[bool],
    "start_pose": NotRequired[Clip | str],
    "head": NotRequired[Literal['codes', 'features']],
})
Health = TypedDict("Health", {
    "status": Literal['loading', 'ok', 'failed', 'stopping'],
    "version": str,
    "queue": int,
    "running": int,
    "uptime": float,
})
Idle = TypedDict("Idle", {
})
Job = TypedDict("Job", {
    "id": str,
    "kind": str,
    "status": Literal['queued', 'running', 'done', 'failed', 'cancelled'],
    "progress": Progress,
    "error": Error | None,
    "motions": list[Motion],
})
Keys = TypedDict("Keys", {
    "places": NotRequired[list[Place]],
    "poses": NotRequired[list[PoseKey]],
    "pins": NotRequired[list[Pin]],
})
KnownAction = TypedDict("KnownAction", {
    "name": str,
    "caption": str,
    "seconds": float | None,
    "checked": bool,
    "own": bool,
    "score": NotRequired[float | None],
})
LongMotion = TypedDict("LongMotion", {
    "motions": list[Motion],
    "steps": list[LongStep],
})
LongStep = TypedDict("LongStep", {
    "text": str,
    "activity": str,
    "start": float,
    "seconds": float,
    "described": str,
    "note": str,
})
Message = TypedDict("Message", {
    "role": Literal['system', 'developer', 'user', 'assistant', 'tool', 'function'],
    "content": NotRequired[str | list[dict[str, Any]] | None],
    "name": NotRequired[str | None],
    "tool_call_id": NotRequired[str | None],
    "tool_calls": NotRequired[list[NamedFunction] | None],
})
Model = TypedDict("Model", {
    "id": str,
    "object": Literal['model'],
    "created": int,
    "owned_by": str,
})
Models = TypedDict("Models", {
    "object": Literal['list'],
    "data": list[Model],
})
Moment = TypedDict("Moment", {
    "caption": str,
    "at": float,
})
Motion = TypedDict("Motion", {
    "id": str,
    "prompt": str,
    "prompt_sha256": str,
    "kind": Literal['body', 'face', 'gesture', 'avatar'],
    "seconds": float,
    "frames": int,
    "fps": float,
    "notes": list[str],
    "channels": Channels,
    "caption": str | None,
    "read_as": list[str],
    "seed": int | None,
    "links": dict[str, str],
    "sound": str | None,
    "expires": str,
})
MotionRequest = TypedDict("MotionRequest", {
    "clauses": list[Clause],
    "seconds": NotRequired[float | None],
    "loop": NotRequired[bool],
    "treadmill": NotRequired[bool],
    "start": NotRequired[str],
    "end": NotRequired[str],
    "pins": NotRequired[list[Pin]],
    "places": NotRequired[list[Place]],
    "poses": NotRequired[list[PoseKey]],
    "language": NotRequired[str],
    "unshown": NotRequired[list[str]],
    "unread": NotRequired[list[str]],
    "text": NotRequired[str],
})
Motions = TypedDict("Motions", {
    "motions": list[Motion],
})
NamedFunction = TypedDict("NamedFunction", {
    "id": NotRequired[str],
    "function": NotRequired[Function],
})
Pin = TypedDict("Pin", {
    "limb": Literal['left_hand', 'right_hand', 'left_foot', 'right_foot'],
    "second": float,
    "place": tuple[float, float, float],
})
Place = TypedDict("Place", {
    "second": float,
    "place": tuple[float, float],
    "heading": NotRequired[float | None],
})
Plan = TypedDict("Plan", {
    "scene": str,
    "activities": list[Activity],
    "seconds": float | None,
    "planner": str,
    "notes": list[str],
})
PlanRequest = TypedDict("PlanRequest", {
    "scene": str,
    "activities": NotRequired[int | None],
    "temperature": NotRequired[float],
    "seed": NotRequired[int],
    "planner": NotRequired[str],
    "seconds": NotRequired[float | None],
})
PoseKey = TypedDict("PoseKey", {
    "second": float,
    "rotations": dict[str, tuple[float, float, float, float]],
    "height": NotRequired[float | None],
})
Progress = TypedDict("Progress", {
    "done": int,
    "total": int,
    "stage": str,
})
ReadRequest = TypedDict("ReadRequest", {
    "text": str,
    "face": NotRequired[bool],
})
Reading = TypedDict("Reading", {
    "request": NotRequired[dict[str, Any]],
    "score": NotRequired[dict[str, Any]],
})
ReconstructRequest = TypedDict("ReconstructRequest", {
    "motion": Clip | str,
})
Reconstructed = TypedDict("Reconstructed", {
    "motions": list[Motion],
    "figures": dict[str, float],
})
Replied = TypedDict("Replied", {
    "reply": Reply,
    "session": Session,
})
Reply = TypedDict("Reply", {
    "text": str,
    "ok": bool,
    "acts": list[str],
    "understood": str,
    "over": bool,
    "question": str | None,
    "files": list[Written],
})
Segment = TypedDict("Segment", {
    "n": int,
    "caption": str,
    "name": str,
    "activity": str,
    "start": float,
    "seconds": float,
    "rounds": int,
    "note": str,
    "kind": str,
    "focus": bool,
    "seed": int | None,
    "tempo": float,
    "mirrored": bool,
    "actions": list[Moment],
    "clip": str | None,
    "sound": str | None,
})
Session = TypedDict("Session", {
    "id": str,
    "version": int,
    "seconds": float,
    "fps": float,
    "frames": int,
    "question": str | None,
    "can_undo": bool,
    "can_redo": bool,
    "chosen": int,
    "segments": list[Segment],
    "takes": list[Take],
    "turns": list[Turn],
    "motion": dict[str, str],
    "expires": str,
})
SpeakRequest = TypedDict("SpeakRequest", {
    "sound": given.File,
    "transcript": NotRequired[str],
    "interlocutor": NotRequired[given.File],
    "interlocutor_transcript": NotRequired[str],
    "speaker": NotRequired[str | int | None],
    "seed": NotRequired[int],
    "semantic": NotRequired[float | None],
    "calm": NotRequired[bool],
    "energy": NotRequired[float],
    "cues": NotRequired[list[str] | None],
    "temperature": NotRequired[float],
    "smooth": NotRequired[bool],
    "start_pose": NotRequired[Clip | str],
    "text": NotRequired[str],
    "emotion": NotRequired[str],
    "body": NotRequired[str],
    "motion": NotRequired[Clip | str],
    "lips": NotRequired[Literal['rule', 'recorded']],
    "blink_rate": NotRequired[float | None],
    "idle": NotRequired[float | None],
    "upper": NotRequired[float | None],
    "eye_contact": NotRequired[float],
})
Step = TypedDict("Step", {
    "text": str,
    "seconds": float | None,
    "note": str,
})
Take = TypedDict("Take", {
    "n": int,
    "letter": str,
    "caption": str,
    "seconds": float,
})
TaskAnswers = TypedDict("TaskAnswers", {
    "answers": NotRequired[list[str]],
    "motions": NotRequired[list[Motion]],
})
TaskRequest = TypedDict("TaskRequest", {
    "task": str,
    "slots": NotRequired[dict[str, Any]],
    "num": NotRequired[int],
    "seconds": NotRequired[float | None],
    "temperature": NotRequired[float | None],
    "seed": NotRequired[int],
})
ToolFunction = TypedDict("ToolFunction", {
    "name": str,
    "description": str,
    "parameters": dict[str, Any],
})
ToolSchema = TypedDict("ToolSchema", {
    "type": Literal['function'],
    "function": ToolFunction,
})
Turn = TypedDict("Turn", {
    "user": str,
    "reply": str,
    "acts": list[str],
    "ok": bool,
})
TurnBody = TypedDict("TurnBody", {
    "text": NotRequired[str],
    "acts": NotRequired[list[str]],
    "keys": NotRequired[Keys | None],
})
Upload = TypedDict("Upload", {
    "id": str,
    "kind": Literal['motion', 'sound', 'film', 'avatar', 'picture'],
    "name": str,
    "bytes": int,
    "href": str,
    "character": bool,
    "expires": str,
    "motion": NotRequired[Motion],
})
Written = TypedDict("Written", {
    "name": str,
    "href": str,
})
class Verbs:
    def generate(
        self,
        prompt: str | None = None,
        seconds: float | None = None,
        seed: int | None = None,
        guidance: float | None = None,
        best_of: int | None = None,
        temperature: float | None = None,
        num: int | None = None,
        literal: bool | None = None,
        after: Clip | str | None = None,
        request: MotionRequest | None = None,
        modalities: str | None = None,
        times: int | None = None,
        turn: float | None = None,
        path: str | None = None,
        waypoints: list[tuple[float, float]] | None = None,
        tempo: float | None = None,
        loop: bool | None = None,
        in_place: bool | None = None,
        pins: list[Pin] | None = None,
        start_pose: Clip | str | None = None,
        end_pose: Clip | str | None = None,
        fps: float | None = None,
        strict: bool | None = None,
        adapter: str | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """Make motion."""
    def extend(
        self,
        motion: Clip | str | None = None,
        seconds: float | None = None,
        text: str | None = None,
        seed: int | None = None,
        best_of: int | None = None,
        adapter: str | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """Go on from a motion."""
    def in_between(
        self,
        start: Clip | str | None = None,
        end: Clip | str | None = None,
        seconds: float | None = None,
        text: str | None = None,
        seed: int | None = None,
        best_of: int | None = None,
        keep_place: bool | None = None,
        adapter: str | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """Join two motions."""
    def edit(
        self,
        motion: Clip | str | None = None,
        text: str | None = None,
        seed: int | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """Change a motion by words."""
    def describe(
        self,
        motion: Clip | str | None = None,
        num: int | None = None,
        seed: int | None = None,
        best_of: int | None = None,
        feeling: bool | None = None,
        transcript: str | list[str] | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[str]:
        """Motion to words."""
    def run_task(
        self,
        task: str | None = None,
        slots: dict[str, Any] | None = None,
        num: int | None = None,
        seconds: float | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[str] | list[Clip]:
        """A task of the model by its name."""
    def reconstruct(
        self,
        motion: Clip | str | None = None,
        *, progress: given.Progress | None = None,
    ) -> tuple[Clip, dict[str, float]]:
        """A motion through its tokens and back."""
    def read(
        self,
        text: str | None = None,
        face: bool | None = None,
        *, progress: given.Progress | None = None,
    ) -> dict[str, Any]:
        """What a text asks for."""
    def actions(
        self,
        query: str | None = None,
        count: int | None = None,
        offset: int | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[KnownAction]:
        """The library of moves."""
    def plan(
        self,
        scene: str | None = None,
        activities: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        planner: str | None = None,
        seconds: float | None = None,
        *, progress: given.Progress | None = None,
    ) -> Plan:
        """A scene to activities and steps."""
    def face(
        self,
        sound: given.File | None = None,
        text: str | None = None,
        emotion: str | None = None,
        transcript: str | None = None,
        seconds: float | None = None,
        seed: int | None = None,
        lips: Literal['rule', 'recorded'] | None = None,
        gain: list[str] | None = None,
        offset: list[str] | None = None,
        mouth: float | None = None,
        brow: float | None = None,
        symmetry: float | None = None,
        smooth: float | None = None,
        blink_rate: float | None = None,
        idle: float | None = None,
        upper: float | None = None,
        eye_contact: float | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """Instruction, feelings, speech to a face."""
    def gesture(
        self,
        sound: given.File | None = None,
        transcript: str | None = None,
        interlocutor: given.File | None = None,
        interlocutor_transcript: str | None = None,
        speaker: str | int | None = None,
        seed: int | None = None,
        semantic: float | None = None,
        calm: bool | None = None,
        energy: float | None = None,
        cues: list[str] | None = None,
        temperature: float | None = None,
        smooth: bool | None = None,
        start_pose: Clip | str | None = None,
        head: Literal['codes', 'features'] | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """Speech to gestures."""
    def speak(
        self,
        sound: given.File | None = None,
        transcript: str | None = None,
        interlocutor: given.File | None = None,
        interlocutor_transcript: str | None = None,
        speaker: str | int | None = None,
        seed: int | None = None,
        semantic: float | None = None,
        calm: bool | None = None,
        energy: float | None = None,
        cues: list[str] | None = None,
        temperature: float | None = None,
        smooth: bool | None = None,
        start_pose: Clip | str | None = None,
        text: str | None = None,
        emotion: str | None = None,
        body: str | None = None,
        motion: Clip | str | None = None,
        lips: Literal['rule', 'recorded'] | None = None,
        blink_rate: float | None = None,
        idle: float | None = None,
        upper: float | None = None,
        eye_contact: float | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """Speech to an avatar."""
    def capture(
        self,
        film: given.File | None = None,
        start: float | None = None,
        end: float | None = None,
        face: bool | None = None,
        body: bool | None = None,
        person: int | None = None,
        poses: str | None = None,
        neutral: bool | None = None,
        focal: float | None = None,
        picture_rate: float | None = None,
        *, progress: given.Progress | None = None,
    ) -> list[Clip]:
        """A film to motion."""
