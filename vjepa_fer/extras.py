"""Optional packages by name go in; one error that names all the missing ones, with the pip line, comes out."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType

from vjepa_fer.errors import MissingExtraError

_PIP_NAMES = {
    "av": "PyAV (av)",
    "cv2": "OpenCV (cv2)",
    "PIL": "Pillow (PIL)",
    "gcsfs": "gcsfs (which `pip install gcsfs` brings)",
}


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


def import_matplotlib(purpose: str = "figures") -> None:
    """Import matplotlib as :func:`import_undisturbed` does. To be called before anything is imported from it.

    Raises
    ------
    MissingExtraError
        It is not installed.
    """
    require_extra("report", ("matplotlib",), purpose)
    import_undisturbed("matplotlib")


def import_undisturbed(name: str) -> ModuleType:
    """A module that is matplotlib or may import it, as LightGBM did before 4.7, imported without the ``matplotlibrc`` of the current folder.

    matplotlib would obey that first, and it may be a stranger's. The user's own (``MATPLOTLIBRC``, the folder of configurations) is obeyed.
    """
    if name not in sys.modules:
        with _called_a_folder("matplotlibrc"):
            importlib.import_module(name)
    return sys.modules[name]


@contextmanager
def _called_a_folder(name: str) -> Iterator[None]:
    """Files of this name in the current folder are said to be folders, which matplotlib passes over.

    It has no setting for that, and to change the current folder meanwhile would change it for all threads.
    """
    is_folder = os.path.isdir
    os.path.isdir = lambda path: path == name or is_folder(path)  # type: ignore[assignment]
    try:
        yield
    finally:
        os.path.isdir = is_folder
