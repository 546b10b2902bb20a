"""One motion in the studio's viewer: a small server on this machine alone, without a model."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import FastAPI
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.middleware.trustedhost import TrustedHostMiddleware

from avatargpt import export
from avatargpt.export.avatar import AvatarMotion
from avatargpt.export.formats import writable
from avatargpt.server import avatar, errors
from avatargpt.server.app import STATIC, add_studio
from avatargpt.server.frames import frames
from vqvae.errors import UserError
from vqvae.face import FaceMotion
from vqvae.motion import Motion

HOSTS = ["127.0.0.1", "localhost"]
NUMBER = "file"  # the motion's id


def page(clip: Motion | FaceMotion | AvatarMotion) -> str:
    """What follows the address of a server of this clip."""
    sound = isinstance(clip, AvatarMotion) and clip.sound is not None
    return f"#view={NUMBER}{'&sound=1' if sound else ''}"


def create_view(clip: Motion | FaceMotion | AvatarMotion, name: str = "motion") -> FastAPI:
    """The application that shows a clip and gives it in other formats.

    Raises:
        UserError: an installation without the studio's page.
    """
    if not (STATIC / "index.html").is_file():
        raise UserError(f"{STATIC}: the studio's page is missing from this installation; install it again")
    app = FastAPI(title="AvatarGPT", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)
    app.include_router(avatar.router)
    add_studio(app)
    moving, forms = frames(clip), [".frames", *writable(clip.modality)]

    @app.get(f"/v1/exports/{NUMBER}.{{form}}")
    def exported(form: str) -> Response:
        suffix = f".{form.lower()}"
        if suffix == ".frames":
            return Response(moving, media_type="application/octet-stream")
        try:
            if suffix not in forms:
                raise UserError(f"{suffix}; accepted {' '.join(forms)}")
            with TemporaryDirectory() as folder:
                content = export.save(clip, Path(folder) / f"{name}{suffix}").read_bytes()
        except UserError as e:
            return JSONResponse(errors.body("bad_request", str(e), "form"), 400)
        return Response(content, media_type="application/octet-stream")

    if isinstance(clip, AvatarMotion) and clip.sound is not None:
        sound = clip.sound

        @app.get(f"/v1/uploads/{NUMBER}")
        def heard() -> FileResponse:
            return FileResponse(sound)

    return app
