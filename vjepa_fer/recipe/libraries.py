"""What another library than ours computes, as a value: whose model, from where, with which configuration."""

from __future__ import annotations

from dataclasses import dataclass

from vjepa_fer.recipe.bounds import take_fields


@dataclass(frozen=True, kw_only=True)
class LibraryModel:
    """A model that another library builds and runs; our recipe holds what decides its numbers, and what it costs.

    Attributes
    ----------
    library, version : str
        ``transformers`` and its release: another one may compute other numbers, and so makes another fingerprint.
    model_type : str
        The library's name of the architecture, such as ``videomae``.
    by_frame : bool
        A model of images, which is applied to each frame by itself.
    special_tokens : int
        Class and register tokens, of a frame (`by_frame`) or of a window; they are the level ``cls``.
    parameters : int
    flops : int
        Floating-point operations of one pass, of a frame (`by_frame`) or of a window; a multiplication and an addition are two.
    repository, revision : str
        On the hub, and its commit; both empty for a folder.
    config : str
        The configuration where it differs from the library's defaults, as JSON.
    """

    library: str
    version: str
    model_type: str
    by_frame: bool
    special_tokens: int
    parameters: int
    flops: int
    repository: str = ""
    revision: str = ""
    config: str

    def __post_init__(self) -> None:
        take_fields(self, "library.")

    @property
    def title(self) -> str:
        """Who computes the numbers, for people: ``transformers 5.23.0``."""
        return f"{self.library} {self.version}"
