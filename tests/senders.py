"""One process of several that extract into one address together, each with a staging folder of its own, as on a machine of its own."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

from vjepa_fer.encoder import load_encoder
from vjepa_fer.extract import ExtractSettings, Stage, extract_manifest, make_recipe, sending
from vjepa_fer.extract.sharing import Patience
from vjepa_fer.manifest import read_manifest
from vjepa_fer.recipe import Sampling, Storage
from vjepa_fer.remote import hearts

SETTINGS = ExtractSettings(workers=0, shard_bytes=1)
SERVER = multiprocessing.get_context(
    "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
)
SERVER.set_forkserver_preload(["senders", "s3fs", "vjepa_fer.video.pool"])


def recipe_of(encoder):
    return make_recipe(encoder, sampling=Sampling(frame_step=1), storage=Storage(levels=("mean",)))


class Sender:
    """A process that extracts a manifest into an address; `at` is the clip on its disk at which a signal strikes it."""

    def __init__(self, manifest: Path, address: str, home: Path, gate, *, struck=None, at: int = 1) -> None:
        env = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        env["VJEPA_FER_HOME"] = str(home)
        self.written, self.gate = SERVER.Value("i", -1), gate  # or it would be gone before they come to it
        args = (str(manifest), address, env, gate, struck, at, self.written)
        self.process = SERVER.Process(target=_work, args=args)
        self.process.start()

    def ended(self) -> int | None:
        """The exit status, once there is one."""
        self.process.join(120)
        return self.process.exitcode

    def is_stopped(self) -> bool:
        """Whether it stands still."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"

    def wait_till_stopped(self) -> None:
        end = time.monotonic() + 60
        while not self.is_stopped():
            assert time.monotonic() < end
            time.sleep(0.02)


def start(manifest: Path, address: str, homes: Path, count: int, *, struck=None) -> list[Sender]:
    """Processes that begin at the same moment; the first is struck, if any is."""
    gate = SERVER.Barrier(count)
    return [Sender(manifest, address, homes / str(n), gate, struck=struck if n == 0 else None) for n in range(count)]


def _work(manifest: str, address: str, env: dict[str, str], gate, struck, at: int, written) -> None:
    os.environ.update(env)
    hearts.HEARTBEAT_SECONDS, hearts.DEAD_AFTER_SECONDS = 0.2, 1.5
    hearts.is_gone = lambda owner: False  # as if each were on a machine of its own
    sending.TICK_SECONDS = sending.SharedSending._tick = Patience.POLL_SECONDS = 0.1
    encoder = load_encoder("tiny-v21", weights="random:1")
    told = []

    def run(clips, folder, report, others):
        def counted(done):
            told.extend(done)
            if struck is not None and len(told) == at:
                os.kill(os.getpid(), struck)
            report(done)

        return extract_manifest(
            clips, folder, encoder, recipe_of(encoder), settings=SETTINGS, report=counted, others=others
        )

    gate.wait(60)
    summary = Stage(address, read_manifest(Path(manifest))).extract(recipe_of(encoder), run)
    assert not summary.elsewhere
    written.value = summary.written
