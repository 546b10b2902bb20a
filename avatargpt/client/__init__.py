"""A server of ``avatargpt serve`` from Python, without the model.

    from avatargpt.client import Client

    with Client("http://127.0.0.1:8765") as client:
        (walk,) = client.generate("a person walks and waves", seconds=4)
        client.save(walk, "walk.glb")

Every method is one route; docs/server.md names them with their fields. Work that outlasts one exchange is followed as
a job until its end, and a busy server is asked again when it says so.
"""

from .client import Client, Session
from .results import Clip, Frames, ServerError, Upload

__all__ = ["Client", "Clip", "Frames", "ServerError", "Session", "Upload"]
