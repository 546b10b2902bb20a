"""AvatarGPT in Blender: words become strips on the selected armature, through a server (`avatargpt serve`).

The armature goes to the server, which understands its bones and puts the motion on them. Without a selected armature
our own character is imported. Undo takes the strips back. Needs Blender 4.2 or newer and nothing else.
"""

import re
import tempfile
import threading
from pathlib import Path

import bpy

from . import actions, rigs, server

bl_info = {
    "name": "AvatarGPT", "blender": (4, 2, 0), "category": "Animation", "version": (0, 1, 0),
    "description": "Words to strips on the selected armature",
}  # fmt: skip


class Preferences(bpy.types.AddonPreferences):
    """Where the server is."""

    bl_idname = __package__ or __name__
    url: bpy.props.StringProperty(name="Server", default=server.DEFAULT)
    key: bpy.props.StringProperty(name="API key", subtype="PASSWORD")

    def draw(self, context):
        """Two rows."""
        self.layout.prop(self, "url")
        self.layout.prop(self, "key")


SPANS = (
    ("WORDS", "As long as it takes", "From the current frame on, for Seconds or as long as the words take"),
    ("RANGE", "Frame range", "The scene's preview range, or its whole range"),
    ("MARKERS", "Markers", "Each marker's name is done until the next marker; one without a name ends it"),
    ("BETWEEN", "Between two poses", "From the pose at the range's start to that at its end, with or without words"),
)
UNNAMED = re.compile(r"F_\d+")  # what Blender calls a marker
SPARE = 0.1  # seconds more than needed, since the server's frames are 1/20 s
SERVER_FPS = 20.0
MISSED = 0.01  # metres from a pose, from which on it is said


class Settings(bpy.types.PropertyGroup):
    """What is asked for; kept with the scene."""

    prompt: bpy.props.StringProperty(name="Prompt", default="a person walks forward and waves")
    seconds: bpy.props.FloatProperty(
        name="Seconds", default=0.0, min=0.0, max=120.0, description="Length; 0: as long as the words take"
    )
    seed: bpy.props.IntProperty(name="Seed", default=0, min=0)
    span: bpy.props.EnumProperty(name="When", items=SPANS)


class AVATARGPT_OT_generate(bpy.types.Operator):
    """Make the motion and put it on the selected armature as a strip"""

    bl_idname = "avatargpt.generate"
    bl_label = "Generate"
    bl_options = {"REGISTER", "UNDO"}

    prompt: bpy.props.StringProperty(options={"SKIP_SAVE"})
    seconds: bpy.props.FloatProperty(default=-1.0, options={"SKIP_SAVE"})
    seed: bpy.props.IntProperty(default=-1, options={"SKIP_SAVE"})
    span: bpy.props.EnumProperty(items=SPANS, options={"SKIP_SAVE"})

    def execute(self, context):
        """All at once: from scripts and in the background."""
        if self._begin(context):
            self._exchange()
        return self._end(context)

    def invoke(self, context, event):
        """Beside Blender, which stays usable; Escape gives up."""
        if not self._begin(context):
            return self._end(context)
        self._thread = threading.Thread(target=self._exchange, daemon=True)
        self._thread.start()
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(f"AvatarGPT: {self._name} (Esc: give up)")
        return {"RUNNING_MODAL"}

    def modal(self, context, event):
        """Look whether the motion has come."""
        if event.type == "ESC":
            self._stop(context)
            return {"CANCELLED"}
        if event.type != "TIMER" or self._thread.is_alive():
            return {"PASS_THROUGH"}
        self._stop(context)
        return self._end(context)

    def _stop(self, context):
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)

    def _begin(self, context) -> bool:
        """Collect what the exchange needs; Blender's data may be used on its own thread alone."""
        self._folder = tempfile.TemporaryDirectory()
        self._error, self._rig = "", None
        self._file = Path(self._folder.name, "motion.glb")
        self._character = None
        try:
            with actions.undisturbed(context):
                self._ask(context)
        except (rigs.Missing, server.Failed) as e:
            self._error = str(e)
        return not self._error

    def _ask(self, context):
        scene, settings = context.scene, context.scene.avatargpt
        given = self.properties.is_property_set
        self._span = self.span if given("span") else settings.span
        prompt = self.prompt if given("prompt") else settings.prompt
        seconds = settings.seconds if self.seconds < 0 else self.seconds
        self._fps = scene.render.fps / scene.render.fps_base
        self._asked = {"seed": settings.seed if self.seed < 0 else self.seed}
        preview = scene.use_preview_range
        first = scene.frame_preview_start if preview else scene.frame_start
        last = scene.frame_preview_end if preview else scene.frame_end
        self._name = prompt[:60] or "in-between"
        self._pieces = []
        addon = context.preferences.addons.get(Preferences.bl_idname)
        url, key = (server.DEFAULT, "") if addon is None else (addon.preferences.url, addon.preferences.key)
        self._server = server.Server(url, key)
        if context.object is not None and context.object.type == "ARMATURE":
            self._rig = rigs.Rig(context.object)
            self._character = Path(self._folder.name, "character.glb")
            rigs.write_character(context, self._rig, self._character)
        elif self._span in ("MARKERS", "BETWEEN"):
            raise server.Failed("no armature is selected")
        if self._span == "WORDS":
            first = scene.frame_current
            self._asked |= {"prompt": prompt} | ({"seconds": seconds} if seconds else {})
        elif self._span == "RANGE":
            self._asked |= {"prompt": prompt, "seconds": (last - first) / self._fps + SPARE}
        elif self._span == "MARKERS":
            first, self._asked["prompt"] = self._script(scene, first, last)
            last, self._name = self._pieces[-1].last, "markers"
        else:
            self._asked |= {"text": prompt, "seconds": (last - first) / self._fps - 1 / SERVER_FPS}
            self._ends = [self._rig.poses(scene, frame) for frame in (first, last)]
            self._posed = [Path(self._folder.name, f"{name}.glb") for name in ("start", "end")]
            for frame, pose, path in zip((first, last), self._ends, self._posed, strict=True):
                scene.frame_set(frame)
                rigs.write_pose(context, self._rig, pose, path)
        self._first, self._last = first, last

    def _script(self, scene, first: int, last: int) -> tuple[int, str]:
        """The first frame of the markers in a range, and their names with their times; the pieces too."""
        markers = sorted((m for m in scene.timeline_markers if first <= m.frame < last), key=lambda m: m.frame)
        named = [m for m in markers if not UNNAMED.fullmatch(m.name)]
        if not named:
            raise server.Failed(f"no marker with a name from frame {first} to {last}; accepted: names that are prompts")
        script = []
        for marker, following in zip(named, [*named[1:], None], strict=True):
            stop = next((m.frame for m in markers if m.frame > marker.frame), last)
            end = stop if following is None else following.frame  # what comes before it is still this one's
            self._pieces.append(actions.Piece(marker.name[:60], marker.frame, end))
            begin, stop = ((f - named[0].frame) / self._fps for f in (marker.frame, stop))
            script.append(f"[{begin:.3f}-{stop + SPARE * (following is None):.3f}s] {marker.name}")
        return named[0].frame, " ".join(script)

    def _exchange(self):
        try:
            if self._span == "BETWEEN":
                motion, self._held = self._server.between(self._asked, *self._posed)
            else:
                motion = self._server.motion(self._asked)
            self._seconds, self._notes = motion["seconds"], list(motion.get("notes") or ())
            self._server.export(motion, self._fps, self._character, self._file)
        except server.Failed as e:
            self._error = str(e)

    def _end(self, context):
        with self._folder:
            if not self._error and self._rig is not None and self._rig.name not in bpy.data.objects:
                self._error = f"{self._rig.name} is no longer there"
            if self._error:
                self.report({"ERROR"}, self._error)
                return {"CANCELLED"}
            for note in self._notes:
                self.report({"INFO"}, note)
            if self._rig is None:
                actions.import_character(self._file, self._name)
                return {"FINISHED"}
            with actions.undisturbed(context):
                last = self._put_on(context)
            if last > context.scene.frame_end:
                self.report({"INFO"}, f"it ends at frame {last}, the scene at {context.scene.frame_end}")
        return {"FINISHED"}

    def _put_on(self, context) -> int:
        """Read the motion's poses and put them on the armature; the last frame."""
        first, rig = self._first, self._rig
        last = first + round(self._seconds * self._fps) - 1 if self._span == "WORDS" else self._last
        times = [number / self._fps for number in range(last - first + 1)]
        if self._span == "BETWEEN":
            begin, end = self._held
            times = [begin + (end - begin) * number / (last - first) for number in range(last - first + 1)]
        poses = actions.read_poses(context, rig, self._file, times)
        moved, placed = actions.find_moved(rig, poses)
        if self._span == "BETWEEN":
            actions.meet(poses, *self._ends)
        else:
            actions.move(context.scene, rig, (placed or moved)[0], poses, first)
        pieces = self._pieces or [actions.Piece(self._name, first, last)]
        actions.put_on(context, rig, poses, rig.follow(moved, placed), pieces)
        if self._span == "BETWEEN":
            for frame, wanted in zip((first, last), self._ends, strict=True):
                self._compare(frame, rig.poses(context.scene, frame), wanted)
        return last

    def _compare(self, frame: int, reached: actions.Poses, wanted: actions.Poses):
        """Say where a pose is not met: limbs keep their length, and IK may have stretched them."""
        away = {n: (reached[n].translation - place.translation).length for n, place in wanted.items()}
        worst = max(away, key=lambda n: away[n])
        if away[worst] > MISSED:
            self.report(
                {"INFO"}, f"frame {frame}: {worst} misses its pose by {100 * away[worst]:.0f} cm: stretched there"
            )


class AVATARGPT_PT_panel(bpy.types.Panel):
    """The tab in the sidebar of the 3D view."""

    bl_label = "AvatarGPT"
    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", "AvatarGPT"

    def draw(self, context):
        """Prompt, when, seed, and on what."""
        settings, chosen = context.scene.avatargpt, context.object
        self.layout.prop(settings, "prompt", text="")
        self.layout.prop(settings, "span")
        row = self.layout.row()
        if settings.span == "WORDS":
            row.prop(settings, "seconds")
        row.prop(settings, "seed")
        on = chosen.name if chosen is not None and chosen.type == "ARMATURE" else "a new character"
        self.layout.operator("avatargpt.generate", text=f"Generate on {on}", icon="ARMATURE_DATA")


CLASSES = (Preferences, Settings, AVATARGPT_OT_generate, AVATARGPT_PT_panel)


def register():
    """Called by Blender when the add-on is enabled."""
    for one in CLASSES:
        bpy.utils.register_class(one)
    bpy.types.Scene.avatargpt = bpy.props.PointerProperty(type=Settings)


def unregister():
    """Called by Blender when the add-on is disabled."""
    del bpy.types.Scene.avatargpt
    for one in reversed(CLASSES):
        bpy.utils.unregister_class(one)
