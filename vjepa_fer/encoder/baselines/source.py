"""``hf:FOLDER`` or ``hf:OWNER/NAME@REVISION`` comes in; a folder on this machine goes out, and the commit that it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vjepa_fer.errors import CheckpointError, DownloadError, RecipeError
from vjepa_fer.extras import require_extra

PREFIX = "hf:"

_REPOSITORY = re.compile(r"([\w][\w.-]{0,95}/[\w][\w.-]{0,95})(?:@([\w][\w./-]{0,199}))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")

CONFIG = "config.json"
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
"""Where a processor's numbers lie; of several the first."""

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_FILES = [CONFIG, *PROCESSORS, *WEIGHTS, "model-?????-of-?????.safetensors"]
"""What is fetched: no pickle, and no code."""


@dataclass(frozen=True)
class ModelFolder:
    """Where a model lies.

    Attributes
    ----------
    path : Path
    repository, revision : str
        On the hub, and its commit; both empty for a folder of the user's.
    """

    path: Path
    repository: str = ""
    revision: str = ""


def is_baseline(name: str) -> bool:
    """Whether a model's name is ``hf:…``."""
    return name.startswith(PREFIX)


def model_folder(name: str) -> ModelFolder:
    """The folder behind ``hf:…``: one of this machine, else the hub's, which is fetched unless it is here.

    Raises
    ------
    RecipeError
        Neither a folder nor the name of a repository.
    MissingExtraError
        The hub is asked for, and ``huggingface_hub`` is not installed.
    DownloadError
        It cannot be fetched.
    """
    text = name.removeprefix(PREFIX)
    if text and "\0" not in text and Path(text).is_dir():
        return ModelFolder(Path(text))
    match = _REPOSITORY.fullmatch(text)
    if match is None:
        raise RecipeError(
            f"model {name!r}: no such folder, and no repository of the hub, such as hf:facebook/dinov2-base"
        )
    return _from_hub(match[1], match[2])


@lru_cache(maxsize=32)
def _from_hub(repository: str, revision: str | None) -> ModelFolder:
    """One answer a process: a branch that moves meanwhile changes nothing."""
    require_extra("baselines", ("huggingface_hub",), f"fetching {repository}")
    import huggingface_hub

    try:
        path = Path(huggingface_hub.snapshot_download(repository, revision=revision, allow_patterns=_FILES))
    except Exception as error:  # its own errors, or those of whichever HTTP library it uses
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        at = f"@{revision}" if revision else ""
        raise DownloadError(
            f"hf:{repository}{at}: no such folder here, and the hub's repository cannot be fetched: {reason}"
        ) from error
    if not _COMMIT.fullmatch(path.name):
        raise DownloadError(f"hf:{repository}: the hub's cache does not say which commit it holds: {path}")
    return ModelFolder(path, repository, path.name)


def weights_of(folder: ModelFolder) -> Path:
    """The safetensors file of a model, or the index of its parts.

    Raises
    ------
    CheckpointError
        There is none; what lies there in its place is named.
    """
    found = next((folder.path / name for name in WEIGHTS if (folder.path / name).is_file()), None)
    if found is not None:
        return found
    others = sorted(file.name for file in folder.path.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt"))
    if others:
        again = 'AutoModel.from_pretrained(folder).save_pretrained(another), which writes "model.safetensors"'
        raise CheckpointError(f"{folder.path / others[0]}: reading a pickle runs code; save it anew by {again}")
    raise CheckpointError(f"{folder.path}: neither {WEIGHTS[0]} nor {WEIGHTS[1]} is in this folder")
