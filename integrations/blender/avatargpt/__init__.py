"""AvatarGPT in Blender: a prompt becomes an action on the selected armature, through a server (`avatargpt serve`).

The armature goes to the server, which understands its bones and puts the motion on them. Without a selected armature
our own character is imported. Undo takes the action back. Needs Blender 4.2 or newer and nothing else.
"""

import tempfile
import threading
from pathlib import Path

import bpy

from . import actions, server

bl_info = {
    "name": "AvatarGPT", "blender": (4, 2, 0), "category": "Animation", "version": (0, 1, 0),
    "description": "Words to an action on the selected armature",
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


class Settings(bpy.types.PropertyGroup):
    """What is asked for; kept with the scene."""

    prompt: bpy.props.StringProperty(name="Prompt", default="a person walks forward and waves")
    seconds: bpy.props.FloatProperty(
        name="Seconds", default=0.0, min=0.0, max=120.0, description="Length; 0: as long as the words take"
    )
    seed: bpy.props.IntProperty(name="Seed", default=0, min=0)


class AVATARGPT_OT_generate(bpy.types.Operator):
    """Make the motion and put it on the selected armature, from the current frame on"""

    bl_idname = "avatargpt.generate"
    bl_label = "Generate"
    bl_options = {"REGISTER", "UNDO"}

    prompt: bpy.props.StringProperty(options={"SKIP_SAVE"})
    seconds: bpy.props.FloatProperty(default=-1.0, options={"SKIP_SAVE"})
    seed: bpy.props.IntProperty(default=-1, options={"SKIP_SAVE"})

    def execute(self, context):
        """All at once: from scripts and in the background."""
        self._begin(context)
        self._exchange()
        return self._end(context)

    def invoke(self, context, event):
        """Beside Blender, which stays usable; Escape gives up."""
        self._begin(context)
        self._thread = threading.Thread(target=self._exchange, daemon=True)
        self._thread.start()
        self._timer = context.window_manager.event_timer_add(0.2, window=context.window)
        context.window_manager.modal_handler_add(self)
        context.workspace.status_text_set(f"AvatarGPT: {self._asked['prompt']} (Esc: give up)")
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

    def _begin(self, context):
        """Collect what the exchange needs; Blender's data may be used on its own thread alone."""
        settings = context.scene.avatargpt
        seconds = settings.seconds if self.seconds < 0 else self.seconds
        self._asked = {"prompt": self.prompt or settings.prompt, "seed": settings.seed if self.seed < 0 else self.seed}
        if seconds:
            self._asked["seconds"] = seconds
        self._frame = context.scene.frame_current
        self._folder = tempfile.TemporaryDirectory()
        self._armature, self._error = None, ""
        self._file = Path(self._folder.name, "motion.glb")
        self._character = None
        if context.object is not None and context.object.type == "ARMATURE":
            self._armature = context.object.name
            self._character = Path(self._folder.name, "character.glb")
            actions.write_character(context, context.object, self._character)
        self._fps = context.scene.render.fps / context.scene.render.fps_base
        addon = context.preferences.addons.get(Preferences.bl_idname)
        url, key = (server.DEFAULT, "") if addon is None else (addon.preferences.url, addon.preferences.key)
        self._server = server.Server(url, key)

    def _exchange(self):
        try:
            self._notes = self._server.motion(self._asked, self._character, self._fps, self._file)
        except server.Failed as e:
            self._error = str(e)

    def _end(self, context):
        with self._folder:
            if self._error:
                self.report({"ERROR"}, self._error)
                return {"CANCELLED"}
            for note in self._notes:
                self.report({"INFO"}, note)
            name = self._asked["prompt"][:60]
            if self._armature is None:
                actions.import_character(self._file, name)
            elif self._armature not in bpy.data.objects:
                self.report({"ERROR"}, f"{self._armature} is no longer there")
                return {"CANCELLED"}
            else:
                last = actions.put_on(context, bpy.data.objects[self._armature], self._file, name, self._frame)
                if last > context.scene.frame_end:
                    self.report({"INFO"}, f"it ends at frame {last}, the scene at {context.scene.frame_end}")
        return {"FINISHED"}


class AVATARGPT_PT_panel(bpy.types.Panel):
    """The tab in the sidebar of the 3D view."""

    bl_label = "AvatarGPT"
    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", "AvatarGPT"

    def draw(self, context):
        """Prompt, seconds, seed, and on what."""
        settings, chosen = context.scene.avatargpt, context.object
        self.layout.prop(settings, "prompt", text="")
        row = self.layout.row()
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
