"""Model folders on the Hugging Face Hub: by name instead of a path, and back."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from avatargpt.lm.card import write_card
from vqvae.errors import UserError

NAMED = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")  # "org/name"
LEFT_OUT = (".cache", ".git")


def folder_of(path: str | os.PathLike[str] | None, revision: str | None = None) -> Path | None:
    """The folder that a path or a name on the Hub stands for; None = the packaged weights.

    Args:
        revision: branch, tag or commit of a name on the Hub.

    Raises:
        UserError: no such folder, and nothing of that name on the Hub, or it cannot be reached.
    """
    if path is None or Path(path).exists() or not NAMED.fullmatch(os.fspath(path)):
        if revision is not None:
            raise UserError(f"revision {revision}: accepted with a name on the Hub, such as org/name")
        return None if path is None else Path(path)
    from huggingface_hub import snapshot_download

    name = os.fspath(path)
    try:
        return Path(snapshot_download(name, revision=revision))
    except Exception as e:  # of the network, of the service, of the name
        reason = (str(e) or type(e).__name__).strip().splitlines()[0]
        raise UserError(f"{name}: no such folder here, and not to be had from the Hub ({reason})") from None


class HubCalls:
    """Saving a loaded model's folder, here and on the Hub."""

    @property
    def source(self) -> str:
        """The folder that the model comes from, empty = none."""
        raise NotImplementedError

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the model's folder with all its parts to another one; `from_pretrained` reads it.

        The card (``README.md``) gets the front matter that the Hub reads and names every file.

        Raises:
            UserError: a model that was not loaded from a folder, or a folder that is there and not empty.
        """
        target = Path(folder)
        if not self.source:
            raise UserError("save_pretrained: this model was not loaded from a folder; accepted: one that was")
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UserError(f"{target}: is there already; accepted: a new or empty folder")
        shutil.copytree(self.source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        write_card(target)
        return target

    def push_to_hub(
        self, name: str, private: bool = False, message: str = "Upload model", token: str | None = None
    ) -> str:  # fmt: skip
        """Upload the model's folder, as `save_pretrained` writes it, to the Hub; its address.

        Args:
            name: ``org/name``. token: None = that of ``hf auth login`` or ``HF_TOKEN``.

        Raises:
            UserError: no folder, no such name, no right to write there, or the Hub cannot be reached.
        """
        if not self.source:
            raise UserError("push_to_hub: this model was not loaded from a folder; accepted: one that was")
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        try:
            api.create_repo(name, private=private, exist_ok=True)
            with TemporaryDirectory() as place:
                folder = str(self.save_pretrained(place))
                done = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        except UserError:
            raise
        except Exception as e:
            reason = (str(e) or type(e).__name__).strip().splitlines()[0]
            raise UserError(f"{name}: not uploaded ({reason})") from None
        return str(done.commit_url)
