"""Optional packages by name go in; one error that names all the missing ones, with the pip line, comes out."""

from __future__ import annotations

from importlib.util import find_spec

from vjepa_fer.errors import MissingExtraError

_PIP_NAMES = {"av": "PyAV (av)", "cv2": "OpenCV (cv2)", "PIL": "Pillow (PIL)"}


def require_extra(extra: str, modules: tuple[str, ...], purpose: str) -> None:
    """Raise :class:`MissingExtraError` unless every module can be found; none of them is imported.

    Parameters
    ----------
    extra : str
        The extra that brings them, as in ``pip install 'vjepa-fer[extract]'``.
    modules : tuple of str
        Import names.
    purpose : str
        What needs them; the subject of the message.
    """
    missing = [_PIP_NAMES.get(m, m) for m in modules if find_spec(m) is None]
    if missing:
        raise MissingExtraError(extra, " and ".join(missing), purpose)
