"""Model folders on the Hugging Face Hub, and their card ``README.md``.

The card's front matter follows from the folder and from the card's table "Data and licences".
"""

from __future__ import annotations

import os
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from avatargpt.lm.shape import SMALL
from vqvae.errors import UserError
from vqvae.io.data_files import read_object
from vqvae.io.files import atomic_write, read_text, reason

NAMED = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")  # "org/name"
LEFT_OUT = (".cache", ".git")
CARD, FENCE = "README.md", "---"
MAX_CARD_BYTES = 1 << 20
STRICTEST, OTHER = "cc-by-nc-4.0", "other"
UNRECORDED = "not recorded"
FILES, DATA, MEASURED, USE = "## Files", "## Data and licences", "## Measured", "## Use"
OPEN = """```python
from avatargpt import AvatarGPT

model = AvatarGPT.from_pretrained("FOLDER_OR_NAME")
model.generate("a person waves")[0].save("wave.npz")
```
The language model alone opens in transformers after `import avatargpt.lm.model`:
`AutoModelForSeq2SeqLM.from_pretrained("FOLDER_OR_NAME")`."""
WHAT = {
    "config.json": "shape of the language model, fingerprints of the tokenizers",
    SMALL: "weights of the language model, 8 bits", "spiece.model": "sentencepiece model of the words",
    "generation_config.json": "defaults of transformers' `generate`",
    "model.safetensors.index.json": "which file holds which weight",
    "tokenizer.json": "shape of a motion tokenizer", "tokenizer.safetensors": "weights of a motion tokenizer",
    "wording.safetensors": "phrase index", "matcher.safetensors": "scorer",
    "planning.safetensors": "written plans", "judge.json": "judge of motions",
    "requests.safetensors": "reader of requests",
    "requests.json": "shape of the reader of requests", "reading.json": "shape and names of the reading network",
    "reading.safetensors": "reading network", "reading-2.safetensors": "its encoder and writer",
    "reading-turn.safetensors": "what of it is another for turns of a conversation",
}  # fmt: skip


def folder_of(path: str | os.PathLike[str] | None, revision: str | None = None) -> Path | None:
    """The folder of a path or a name on the Hub, at `revision` (branch, tag or commit); None = the packaged weights.

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
        raise UserError(f"{name}: no such folder here, and not to be had from the Hub ({reason(e)})") from None


class HubCalls(ABC):
    """Saving a loaded model's folder, here and on the Hub."""

    @property
    @abstractmethod
    def source(self) -> str:
        """The folder that the model comes from, empty = none."""

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the model's folder with all its parts, for `from_pretrained`; the card is completed (`write_card`).

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
        """Upload the model's folder, as `save_pretrained` writes it, to ``org/name``; its address.

        `token` None = that of ``hf auth login`` or ``HF_TOKEN``.

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
                commit = api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        except UserError:
            raise
        except Exception as e:
            raise UserError(f"{name}: not uploaded ({reason(e)})") from None
        return str(commit.commit_url)


@dataclass(frozen=True)
class Origin:
    """Where a model comes from, as far as it is recorded.

    `sources` of the clips -> ``clips``, ``hours``, ``licence``, as a store's manifest has them; `figures` of the last
    validation, by the name of what was measured.
    """

    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)


def list_shipped(folder: Path) -> list[Path]:
    """The files of a model folder but its card and hidden ones, as paths inside it."""
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    return [f for f in files if f != Path(CARD) and not any(part.startswith(".") for part in f.parts)]


def split_card(text: str) -> tuple[str | None, str]:
    """The front matter of a card, None where it has none, and its body."""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0].strip() != FENCE:
        return None, text
    end = next((i for i, line in enumerate(lines[1:], 1) if line.strip() == FENCE), None)
    return (None, text) if end is None else ("".join(lines[1:end]), "".join(lines[end + 1 :]).lstrip("\n"))


def table_rows(body: str, title: str) -> list[list[str]]:
    """Cells of the table under a heading of the second level, without its head."""
    section = f"\n{body}".partition(f"\n{title}\n")[2].partition("\n## ")[0]
    lines = [line.strip() for line in section.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _slug(name: str) -> str:
    """A name as the Hub writes them: the part before a comma or a bracket, with hyphens."""
    start = name.split(", ")[0].split("(")[0].split(":")[0].lower()
    return "-".join("".join(c if c.isalnum() else " " for c in start).split())


def front_matter(folder: Path, body: str) -> dict[str, Any]:
    """The front matter for a model folder and the body of its card.

    The licence is the strictest one where a source requires it or where none is recorded.
    """
    config = read_object(folder / "config.json")
    heads = {"text", *(config.get("modalities") or {})}
    # a face model in a folder of its own counts as well
    for part in folder.glob("*/config.json"):
        heads |= set(read_object(part).get("modalities") or {})
    data = table_rows(body, DATA)
    licences = [row[-1] for row in data]
    # one non-commercial or unrecorded source binds the whole model
    free = licences and UNRECORDED not in licences and not any("NC" in licence for licence in licences)
    return {
        "license": OTHER if free else STRICTEST, **({"license_name": "as-its-sources"} if free else {}),
        "language": ["en"], "library_name": "avatargpt", "pipeline_tag": "text-to-3d",
        "tags": ["human-motion", "text-to-motion", "motion-to-text", "vq-vae", "t5", *sorted(heads - {"text"})],
        "datasets": list(dict.fromkeys(s for row in data if (s := _slug(row[0])))),
    }  # fmt: skip


def _table(head: Iterable[str], body: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _body(folder: Path, origin: Origin) -> str:
    """A card's text for a folder and its origin."""
    config = read_object(folder / "config.json")
    modalities = [
        [name, str(m["levels"]), str(m["codebook_size"]), f"`{(config.get('fingerprints') or {}).get(name, '')[:12]}`"]
        for name, m in (config.get("modalities") or {}).items()
    ]
    sources = [
        [name, str(s.get("clips", "")), f"{s['hours']:.2f}" if "hours" in s else "", s.get("licence") or UNRECORDED]
        for name, s in sorted(origin.sources.items())
    ]  # fmt: skip
    data = _table(["source", "clips", "hours", "licence"], sources or [[UNRECORDED, "", "", UNRECORDED]])
    measured = "Nothing: the folders that were packed hold no figures of validation."
    if origin.figures:
        figures = [[name, f"{value:.4g}"] for name, value in origin.figures.items()]
        measured = f"At the end of training, on validation clips.\n\n{_table(['figure', 'value'], figures)}"
    return f"""# AvatarGPT model

A T5 (d {config["d_model"]}, {config["num_layers"]} layers, {config["vocab_size"]} word pieces) that reads and speaks words and codes of motion:

{_table(["modality", "levels", "codes per level", "tokenizer"], modalities)}

{USE}
{OPEN}

Weights inherit the terms of the clips that they were trained on.

{DATA}
{data}

{MEASURED}
{measured}
"""  # noqa: E501  one line of text


def write_card(folder: str | os.PathLike[str], origin: Origin | None = None) -> Path:
    """Write a model folder's card with `origin`, or complete the one that exists, which keeps its text.

    Front matter and the table of every file are written anew.
    """
    folder = Path(folder)
    text = read_text(folder / CARD, MAX_CARD_BYTES) if (folder / CARD).is_file() and origin is None else ""
    front, body = split_card(text)
    body = body or _body(folder, origin or Origin())
    if any(f"`{f.as_posix()}`" not in body for f in list_shipped(folder)):
        # the table of files is written anew, the text around it stays
        before, _, after = f"\n{body}".partition(f"\n{FILES}\n")
        _, heading, following = after.partition("\n## ")
        entries = []
        for f in list_shipped(folder):
            size = (folder / f).stat().st_size
            what = WHAT.get(f.name, f"part of {f.parts[0]}/" if len(f.parts) > 1 else "weights")
            entries.append([f"`{f.as_posix()}`", what,
                            f"{size / 1e6:.1f} MB" if size >= 50_000 else f"{size / 1e3:.1f} kB"])  # fmt: skip
        files = f"{FILES}\n{_table(['file', 'what', 'size'], entries)}\n"
        body = f"{before.strip()}\n\n{files}{heading}{following}"
    if front is None:
        front = yaml.safe_dump(front_matter(folder, body), sort_keys=False, allow_unicode=True)
    card = f"{FENCE}\n{front}{FENCE}\n\n{body}"
    return atomic_write(folder / CARD, lambda p: p.write_text(card, encoding="utf-8"))
