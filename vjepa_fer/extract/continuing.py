"""A manifest and a cache that was begun go in; an error comes out if a finished clip's id now stands for another video."""

from __future__ import annotations

from pathlib import Path

from vjepa_fer.cache import open_cache
from vjepa_fer.cache.asked import read_cache_manifest, was_asked
from vjepa_fer.errors import CacheError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.remote import brought
from vjepa_fer.video.reading import source_sha256


def refuse_other_videos(root: Path, manifest: Manifest) -> None:
    """Compare the videos of finished clips whose path was edited, by hash; files that only moved are the same videos.

    Raises
    ------
    CacheError
        A clip's new file has other bytes than the one that its rows were made of.
    """
    if not was_asked(root):
        return
    paths = {clip.clip_id: clip.path for clip in read_cache_manifest(root).clips}
    asked = {clip.clip_id: manifest.absolute(clip) for clip in manifest.clips}
    moved = {key for key, clip in asked.items() if clip.path != paths.get(key, clip.path)}
    if not moved:
        return
    cache = open_cache(root)
    for number, known in enumerate(cache.clips):
        key = known.clip_id
        if key in moved and not _is_same_video(asked[key], cache[number].source_sha256):
            raise CacheError(
                f"{manifest.source or 'the manifest'}: clip {key} is {asked[key].path}, another video than {paths[key]}, "
                f"which {root} holds it from: give the new one a clip id of its own, or use another cache folder"
            )


def _is_same_video(clip: Clip, sha256: str) -> bool:
    """Also where nothing can be compared: the file is gone, or an anonymous copy of a cache does not say."""
    try:
        with brought(clip.path) as path:
            return not sha256 or source_sha256(path) == sha256
    except OSError:
        return True
