"""What a cluster does to a long job, one thing at a time: after each, the rows and runs of an undisturbed process, each once.

    python benchmarks/drill.py > benchmarks/drill.json                 # as root, with bindfs of Debian and the extra [ray]
    python benchmarks/drill.py --only slept,clocks --kinds probe

For ``extract`` and for ``probe``, each on a folder that several processes fill together:

    killed        one of three is killed by SIGKILL; the others do what it had
    slept         one of three is stopped for longer than the others wait for a silent heart, and goes on
    clocks        three whose clocks differ by an hour, both ways, and by which their hearts are stamped: a hook in time.time and os.utime, for
                  libfaketime makes Python's own sleep fail or hang
    clocks-killed the same, and the one that is ahead is killed
    quota         one of three can write no file above a few hundred bytes (RLIMIT_FSIZE), as on a node whose quota is used up
    full          the disk is full for all of them (a small tmpfs); room is made, and the same command goes on
    stalled       the folder answers nobody for ten seconds (a FUSE file system whose process is stopped), longer than a heart may be silent
    ray-worker    one of two actors is killed by SIGKILL
    ray-driver    the driver is killed by SIGKILL: its actors must go, and the same command goes on
    ray-raylet    the raylet of one of two nodes is killed by SIGKILL
    slurm         an array of four under a real Slurm (`benchmarks/slurm_one_node.sh`), one task killed by SIGKILL and requeued
    torchrun      two processes of torchrun, one killed by SIGKILL: torchrun ends the other and starts both anew

Hearts beat ten times a second and are dead after two, so that a drill takes seconds; under Ray they are as everywhere. What a scenario
needs and does not find is said in its row, which then has no verdict.
"""

from __future__ import annotations

import argparse
import collections
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from drill_crew import Processes, Study
from drill_disks import MissingError
from drill_faults import faults_of
from drill_scenarios import RIGHT, SCENARIOS
from drill_work import load

from vjepa_fer.cache.description import library_versions
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.imports import import_features
from vjepa_fer.manifest import Clip, Manifest, write_manifest
from vjepa_fer.workers import num_cores

NUM_CLIPS = 24


def row_of(name: str, kind: str, study: Study) -> dict[str, Any]:
    """One scenario for one command."""
    crew = Processes(kind, study, study.target(kind, name))
    row: dict[str, Any] = {"scenario": name, "kind": kind}
    started = time.perf_counter()
    try:
        SCENARIOS[name](crew)
        statuses = crew.statuses()
    except MissingError as error:
        return {**row, "could_not_be_done": str(error)}
    except (RuntimeError, OSError) as error:
        return {**row, "faults": [str(error)]}
    finally:
        for one in crew.all:
            one.kill()
    steps = collections.Counter(crew.lines("step"))
    right = RIGHT.get(name, [{0}] * len(statuses))
    faults = [f"status {code}, not {sorted(ok)}" for code, ok in zip(statuses, right, strict=True) if code not in ok]
    faults += faults_of(kind, crew.target, study.whole(kind))
    said = list(dict.fromkeys(crew.said.read_text(errors="replace").splitlines()))
    row |= {"statuses": statuses, "seconds": round(time.perf_counter() - started, 1)}
    row |= {"steps": len(steps), "begun_again": sum(steps.values()) - len(steps)}
    return {**row, "said": [line.replace(str(study.folder), "…")[:300] for line in said[-4:]], "faults": faults[:10]}


def prepare(study: Study) -> None:
    """Clips, features, and what an undisturbed process makes of both."""
    from soak_extract import write_video

    made = []
    for number in range(NUM_CLIPS):
        write_video(study.folder / f"v{number}.mp4", 16 + number % 8)
        made.append(Clip(f"c{number}", f"v{number}.mp4", "happy" if number // 4 % 2 else "sad", f"s{number % 4}"))
    write_manifest(Manifest(clips=tuple(made)), study.folder / "clips.csv")
    write_features(study.folder / "features", Manifest(clips=tuple(made)))
    for kind in ("extract", "probe"):
        crew = Processes(kind, study, study.whole(kind), seconds=0)
        crew.start()
        if crew.statuses() != [0]:
            raise RuntimeError(crew.said.read_text())


def write_features(root: Path, manifest: Manifest) -> None:
    """A cache of imported features for the probes: three small whole numbers a clip."""
    table = root.with_name("features.csv")
    values = [[n // 4 % 2 * 3 + n * n % 7, n % 3 * 3 - n % 5, n // 6 + n % 2] for n in range(NUM_CLIPS)]
    lines = [f"c{n},{a},{b},{c}" for n, (a, b, c) in enumerate(values)]
    table.write_text("\n".join(["clip_id,f0,f1,f2", *lines]))
    import_features(read_feature_csv(table, id_column="clip_id", columns=["f*"]), root, manifest)


def parsed() -> argparse.Namespace:
    """What is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--kinds", default="extract,probe")
    parser.add_argument("--scratch", type=Path, help="where the folders are made")
    return parser.parse_args()


def main() -> None:
    """Run and print JSON."""
    options = parsed()
    load()
    rows = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        study = Study(Path(scratch))
        prepare(study)
        for name in options.only.split(","):
            for kind in options.kinds.split(","):
                rows.append(row_of(name, kind, study))
                sys.stderr.write(f"{rows[-1]}\n")
    machine = {"cores": num_cores(), "system": platform.platform()}
    about = {"machine": machine, "versions": library_versions("vjepa-fer", "numpy", "h5py", "torch", "ray")}
    faults = sum(len(row.get("faults", ())) for row in rows)
    undone = [f"{row['scenario']} {row['kind']}" for row in rows if "could_not_be_done" in row]
    print(json.dumps({**about, "faults": faults, "could_not_be_done": undone, "rows": rows}, indent=2))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
