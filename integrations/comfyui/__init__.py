"""AvatarGPT in ComfyUI: copy this folder to ComfyUI/custom_nodes/avatargpt and install `avatargpt` beside ComfyUI.

The model runs in `avatargpt serve`, here or on another machine (AVATARGPT_URL, AVATARGPT_KEY).
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
