"""Clips, failures and rows go in; the same without file names and without subjects' names comes out.

A cache holds no pixels, but its manifest says where the videos were and who is in them. Clip ids stay, because everything is
joined by them: if they tell the subject (as in ``03-01-05-01-01-02-17``, actor 17), rename the clips before extraction.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vjepa_fer.cache import layout
from vjepa_fer.cache.failures import Failure
from vjepa_fer.doors import TooLargeError, read_bytes
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import AnyRecipe, ImportedRecipe

LARGEST_KEY = 1 << 20


def read_key(path: str | os.PathLike[str]) -> bytes:
    """The key in a file, any bytes; ends of the file that are white space do not count.

    Raises
    ------
    CacheError
        The file cannot be read, or holds fewer than 16 bytes: subjects' names are few, so a short key is soon guessed.
    """
    try:
        key = read_bytes(path, at_most=LARGEST_KEY).strip()
    except OSError as error:
        raise CacheError(f"{path}: cannot be read ({error.strerror or error})") from error
    except TooLargeError as error:
        raise CacheError(f"{path}: {error}, more than any key; is it the right file?") from error
    if len(key) < 16:
        raise CacheError(f"{path}: the key has {len(key)} bytes, at least 16 are needed: openssl rand -hex 32 > {path}")
    return key


@dataclass(frozen=True)
class Anonymiser:
    """Replaces paths by clip ids and subjects by a keyed hash; drops further columns, file hashes and error messages.

    Attributes
    ----------
    key : bytes
        The same key gives the same subject the same hash, in every cache; keep it secret. Random by default: then nobody
        can tell any more who is who, nor join two caches by subject.
    """

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def subject(self, name: str) -> str:
        """HMAC-SHA-256 of a subject's name, 16 hex digits."""
        return hmac.new(self.key, name.encode(), hashlib.sha256).hexdigest()[:16]

    def recipe(self, recipe: AnyRecipe) -> AnyRecipe:
        """An encoder's recipe as it is; of imported features without the file's name, and its hash under the key too."""
        if not isinstance(recipe, ImportedRecipe):
            return recipe
        hidden = hmac.new(self.key, recipe.source_sha256.encode(), hashlib.sha256).hexdigest()
        return dataclasses.replace(recipe, source="anonymous", source_sha256=hidden)

    def clip(self, clip: Clip) -> Clip:
        """Clip id and label stay; the path becomes the clip id."""
        return Clip(clip.clip_id, clip.clip_id, clip.label, self.subject(clip.subject))

    def manifest(self, manifest: Manifest) -> Manifest:
        """A manifest of the same clips, with the four columns that vjepa-fer needs."""
        return Manifest(clips=tuple(self.clip(clip) for clip in manifest.clips))

    def failures(self, failures: Mapping[str, Failure]) -> dict[str, Failure]:
        """The same clips and reasons, without paths and messages."""
        return {k: dataclasses.replace(f, path=k, message="", traceback_sha256="") for k, f in failures.items()}

    def columns(self, columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Rows of a clip without the hash of its video, by which anyone who has the video would find it."""
        return {**columns, layout.SOURCE_SHA256: np.zeros_like(columns[layout.SOURCE_SHA256])}


def telling_ids(clips: Iterable[Clip]) -> list[str]:
    """Ids of the clips that hold their subject's name, which an anonymous copy leaves in."""
    return [clip.clip_id for clip in clips if clip.subject.casefold() in clip.clip_id.casefold()]
