"""Work that several processes can share goes in; workers of a cluster do it, and what each of them made of it comes out.

In reading order: `desk` (what a worker and whoever started it tell each other), `needs` (what every machine must have before a worker
starts), `worker` (one process of the cluster), `ray_engine` (Ray: the one module that imports it).

Nothing is divided here. Extractions share a cache, and sweeps a folder of runs, by :mod:`vjepa_fer.claims`: an engine starts the
same work in several places, starts it anew where a process dies, and shows how far it is.
"""

from vjepa_fer.engines.desk import Desk, Ended, State, StoppedError, Work
from vjepa_fer.engines.needs import Needs
from vjepa_fer.engines.ray_engine import RayEngine

__all__ = ["Desk", "Ended", "Needs", "RayEngine", "State", "StoppedError", "Work"]
