"""The exceptions that a caller may want to catch; each message names the thing, its value, what was expected and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

VideoReason = Literal[
    "missing",
    "empty",
    "lfs_pointer",
    "not_video",
    "no_video_stream",
    "no_frames",
    "no_audio",
    "not_audio",
    "truncated",
    "corrupt_frames",
    "timeout",
    "too_short",
    "too_long",
    "no_face",
    "unreadable",
    "worker_died",
    "changed",
]
"""Why a clip could not be done: the ``reason`` column of ``failed.csv``."""

VIDEO_REASONS: tuple[str, ...] = get_args(VideoReason)


class VjepaFerError(Exception):
    """Base of every error that vjepa-fer raises on purpose. The command line prints it without a traceback.

    Its arguments are the lines of its message, mostly one. A line break inside one came with a name from a file, and is shown
    as such.
    """

    def __str__(self) -> str:
        return "\n".join(map(str, self.args))

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of the message, then what was added to it on the way up."""
        return (*map(str, self.args), *getattr(self, "__notes__", ()))


class ManifestError(VjepaFerError, ValueError):
    """A manifest, or a table that becomes one, that cannot be used: the message names file, row, column and value."""


class RecipeError(VjepaFerError, ValueError):
    """A recipe with a value out of range, or a stored recipe that this version cannot read."""


class RecipeMismatchError(RecipeError):
    """Two recipes that should be one: the message lists each differing field with both values."""


class VideoError(VjepaFerError, OSError):
    """A video that cannot be decoded as asked.

    Attributes
    ----------
    reason : VideoReason
        Short code, written to ``failed.csv``.
    path : pathlib.Path
        The file.
    """

    def __init__(self, reason: VideoReason, path: str | Path, message: str) -> None:
        self.reason = reason
        self.path = Path(path)
        self.message = message
        self._given = path  # a Path takes the two slashes of an address for one
        super().__init__(f"{path if '://' in str(path) else self.path}: {message}")

    def __reduce__(self) -> tuple[type[VideoError], tuple[VideoReason, str | Path, str]]:
        # OSError pickles its own arguments, which are not ours: worker processes send these errors home.
        return VideoError, (self.reason, self._given, self.message)


class CheckpointError(VjepaFerError, ValueError):
    """A weights file that is not exactly the encoder asked for: missing, unexpected and misshapen tensors are named."""


class DownloadError(VjepaFerError, OSError):
    """Weights that cannot be fetched: the server's answer, the connection, the disk, or a file that is not what it was."""


class RemoteError(VjepaFerError, OSError):
    """Something elsewhere that cannot be read or written: the address (without anything secret), what its store said, and what to do."""


class CacheError(VjepaFerError, ValueError):
    """A cache or shard that is damaged, foreign, newer than this version, or asked for something it does not hold."""


class NoSuchClipError(CacheError, KeyError):
    """A clip id that a cache has no finished clip of; the message says whether it failed, is not done yet, or is nearly another's."""


class SplitError(VjepaFerError, ValueError):
    """Folds that cannot be made for these clips, or that do not fit them."""


class ProbeError(VjepaFerError, ValueError):
    """A probe, parameter or feature matrix that cannot be fitted."""


class ExperimentError(VjepaFerError, ValueError):
    """An experiment that contradicts itself, or a file of one that cannot be read: file, key, value and what was expected are named."""


class RunError(VjepaFerError, ValueError):
    """A run folder that cannot be read or written."""


class RunExistsError(RunError):
    """Something has the name of a run folder already; it may be the same run, from another process that was first."""


class EngineError(VjepaFerError, RuntimeError):
    """A cluster that cannot be reached, has no room, or whose machines lack something; or workers of it that did not end well."""


class PluginError(VjepaFerError, ImportError):
    """A plug-in that cannot be used: name, package, module and what it raised or did are named; the others go on."""


class BehaviourError(VjepaFerError, AssertionError):
    """An encoder, probe or corpus that breaks promises which all of its kind keep: each is named, with what was done instead."""


class MissingExtraError(VjepaFerError, ImportError):
    """An optional package is not installed; the message holds the pip line. The command line exits with 3."""

    def __init__(self, extra: str, packages: str, purpose: str) -> None:
        self.extra = extra
        super().__init__(f"{purpose} needs {packages}, not installed here: pip install 'vjepa-fer[{extra}]'")
