"""A conversation that makes, changes, describes and saves motion, with memory and undo.

>>> from avatargpt import AvatarGPT
>>> from avatargpt.chat import Conversation
>>> talk = Conversation(AvatarGPT.from_pretrained())
>>> reply = talk.say("a boy plays in the snow")
>>> reply = talk.say("then he falls and gets up")
>>> reply.motion.save("snow.npz")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avatargpt.chat.conversation import Conversation, Reply

__all__ = ["Conversation", "Reply"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'avatargpt.chat' has no attribute {name!r}")
    from avatargpt.chat import conversation

    return getattr(conversation, name)
