"""A work goes in and is done by plain actors of a Ray cluster, which Ray starts anew when they die; how each of them ended comes out.

The one module that imports Ray, and it does so when a cluster is asked for. Nothing of Ray's is used but actors: what makes it safe
that two do the same work, that one dies in its midst or comes back after an hour, is agreed on the disk; see :mod:`vjepa_fer.claims`.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vjepa_fer.doors import printable
from vjepa_fer.engines.desk import Ended, State, Work
from vjepa_fer.engines.needs import Needs
from vjepa_fer.engines.worker import Worker
from vjepa_fer.errors import EngineError
from vjepa_fer.extras import require_extra
from vjepa_fer.workers import num_cores

MOST_RESTARTS = 12
"""Times that a worker is started anew: what kills its process is given up long before, after three deaths."""

LOOK_SECONDS = 120.0
"""For a machine's answer to what it has: a first Python process may take a while there."""

STOP_SECONDS = 60.0
"""For a worker to write what it holds, once it is told to stop."""

SILENT_SECONDS = 30.0
"""For a worker to say how far it is, when another is through and all is done: the machine of a silent one is gone, and there may never be room elsewhere."""

PATIENCE_SECONDS = 15.0
POLL_SECONDS = 0.5
LOG_LINES = 20

Show = Callable[[Mapping[int, State]], None]
"""Told, some times a second, how far each worker is, by its number."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class RayEngine:
    """Where work is done, and how much of a machine each worker gets.

    Attributes
    ----------
    address : str, optional
        ``HOST:PORT`` of a cluster, or ``auto`` for the one that this machine is part of. By default Ray's own variable
        ``RAY_ADDRESS`` says so, or this machine alone is the cluster, for as long as the work takes.
    workers : int, optional
        Processes; by default as many as there is room for.
    cpus_per_worker : int, optional
        Cores of each; by default its share of a machine, by GPUs if it has one, else all.
    gpus_per_worker : float, optional
        GPUs of each; by default one where the cluster has any.
    """

    address: str | None = None
    workers: int | None = None
    cpus_per_worker: int | None = None
    gpus_per_worker: float | None = None

    def run(self, work: Work, needs: Needs, *, show: Show = lambda states: None, tell: Tell = print) -> list[Ended]:
        """Do a work with all workers, and say how each of them ended.

        In order: the cluster is reached; every machine that has room is asked for what it needs; the workers are started, and those
        that die are started anew, up to :data:`MOST_RESTARTS` times; when one is through, those that got no room, or not again, are given
        up. On Ctrl-C all are told to stop, and ended if they have not done so after :data:`STOP_SECONDS`.

        Parameters
        ----------
        work : callable
            Can be pickled; see :data:`~vjepa_fer.engines.desk.Work`. It is done by each worker, and so divides itself.
        needs : Needs
        show : callable
            See :data:`Show`.
        tell : callable
            Gets lines for people.

        Raises
        ------
        MissingExtraError
            Ray is not installed.
        EngineError
            No cluster answers, no machine has room, or one lacks something; no worker has been started then. Or no worker came
            through: why is said.
        """
        require_extra("ray", ("ray",), "--engine ray")
        with _cluster(self.address) as ray:
            share = self._share(ray)
            tell(share.said)
            _look_everywhere(ray, share.machines, needs)
            crew = _Crew(ray, share, work)
            try:
                ended = crew.watch(show, tell)
            except KeyboardInterrupt:
                crew.stop()
                raise
            finally:
                crew.dismiss()
        return _judged(ended, tell)

    def _share(self, ray: Any) -> _Share:
        """What a worker gets, and how many there are."""
        machines = [_Machine.of(node) for node in ray.nodes() if node["Alive"]]
        gpus = self.gpus_per_worker
        if gpus is None:
            gpus = 1.0 if any(one.gpus >= 1 for one in machines) else 0.0
        roomy = [one for one in machines if one.gpus >= gpus and one.cpus >= (self.cpus_per_worker or 1)]
        if not roomy:
            asked = f"{self.cpus_per_worker or 1} cores and {gpus:g} GPUs"
            there = "; ".join(f"{one.host} {one.cpus:g} cores, {one.gpus:g} GPUs" for one in machines)
            raise EngineError(
                f"no machine of the cluster has room for a worker of {asked} ({there}): "
                "ask for less with --cpus-per-worker or --gpus-per-worker"
            )
        cpus = self.cpus_per_worker or min(max(int(one.cpus // (one.gpus // gpus if gpus else 1)), 1) for one in roomy)
        count = self.workers or sum(int(min(m.cpus // cpus, m.gpus // gpus if gpus else math.inf)) for m in roomy)
        return _Share(tuple(roomy), max(count, 1), cpus, gpus)


@dataclass(frozen=True)
class _Machine:
    """One node of a cluster."""

    node_id: str
    host: str
    cpus: float
    gpus: float

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> _Machine:
        has = node["Resources"]
        return cls(node["NodeID"], node["NodeManagerHostname"], has.get("CPU", 0.0), has.get("GPU", 0.0))


@dataclass(frozen=True)
class _Share:
    """Which machines have room, how many workers there are, and what each gets."""

    machines: tuple[_Machine, ...]
    workers: int
    cpus: int
    gpus: float

    @property
    def said(self) -> str:
        gpus = f" and {self.gpus:g} GPU{'s' * (self.gpus != 1)}" if self.gpus else ""
        machines = f"{len(self.machines):,} machine{'s' * (len(self.machines) > 1)}"
        workers = f"{self.workers:,} worker{'s' * (self.workers > 1)}"
        return f"ray: {workers} on {machines}, each with {self.cpus} core{'s' * (self.cpus > 1)}{gpus}"


@contextlib.contextmanager
def _cluster(address: str | None) -> Iterator[Any]:
    """Ray, connected; a cluster that was begun here, or a connection of ours, ends with the block."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody who was not asked for
    import ray

    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    _knock(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL, "configure_logging": True}
    own: dict[str, Any] = (
        {} if address not in (None, "local") else {"num_cpus": num_cores(), "include_dashboard": False}
    )
    try:
        ray.init(address=address, **quiet, **own)
    except (Exception, SystemExit) as error:  # Ray leaves by SystemExit where nobody answers
        raise EngineError(f"ray: {address or 'this machine'}: {printable(' '.join(str(error).split()))}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """See whether somebody listens: Ray itself would try for two minutes, and write of it."""
    if address is None or address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise EngineError(f"--address {address}: is not HOST:PORT, auto or local, such as 10.0.0.4:6379")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"no Ray cluster answers at {address} ({error}): `ray start --head` begins one there, "
            "`ray status` says whether one runs"
        ) from error


def _look_everywhere(ray: Any, machines: Sequence[_Machine], needs: Needs) -> None:
    """Ask every machine that a worker may come to."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with needs.look() as look:
        ask = ray.remote(look)
        where = [NodeAffinitySchedulingStrategy(one.node_id, soft=False) for one in machines]
        asked = [ask.options(num_cpus=0, scheduling_strategy=one).remote() for one in where]
        answers = [_answer(ray, reference, time.monotonic() + LOOK_SECONDS) for reference in asked]
    lines = [f"{one.host} {said}" for one, lines in zip(machines, answers, strict=True) for said in lines]
    if lines:
        raise EngineError("nothing was started:", *lines) if len(lines) > 1 else EngineError(*lines)


def _answer(ray: Any, reference: Any, until: float) -> Sequence[str]:
    try:
        return ray.get(reference, timeout=max(until - time.monotonic(), 0.1))
    except Exception as error:
        return [f"does not answer ({_short(error)})"]


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return printable(lines[0]) if lines else type(error).__name__


class _Crew:
    """The workers of one work."""

    def __init__(self, ray: Any, share: _Share, work: Work) -> None:
        self._ray = ray
        actor = ray.remote(
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            max_restarts=MOST_RESTARTS,
            max_task_retries=MOST_RESTARTS,
            max_concurrency=2,  # it is asked how far it is while it works
        )(Worker)
        sent = ray.put(work)
        self._actors = [actor.remote(os.getcwd(), share.cpus) for _ in range(share.workers)]
        self._runs = {one.run.remote(sent): number for number, one in enumerate(self._actors)}
        self._asked: dict[Any, int] = {}
        self._states: dict[int, State] = {}
        self._heard: dict[int, float] = {}
        self._first_good = math.inf
        self._ended: dict[int, Ended] = {}

    def watch(self, show: Show, tell: Tell) -> list[Ended]:
        """Wait until all have ended that ever began."""
        due = time.monotonic() + PATIENCE_SECONDS
        while self._runs and not self._is_through:
            self._collect(POLL_SECONDS)
            self._ask()
            show(self._states)
            if not self._states and time.monotonic() >= due:
                tell("ray: no worker has begun yet: the cluster is busy, or is bringing machines up")
                due = math.inf
        return [self._ended[number] for number in sorted(self._ended)]

    @property
    def _is_through(self) -> bool:
        """One has come through, so that all is done, and since then the others have not said anything for long."""
        last = max(self._first_good, *(self._heard.get(one, 0.0) for one in self._runs.values()))
        return time.monotonic() > last + SILENT_SECONDS

    def _collect(self, seconds: float) -> None:
        for reference in self._ray.wait(list(self._runs), timeout=seconds)[0]:
            number = self._runs.pop(reference)
            try:
                ended = self._ray.get(reference)
            except Exception as error:
                ended = Ended(broken=str(error))
            self._ended[number] = ended if not ended.broken else self._with_log(number, ended)
            self._first_good = min(self._first_good, time.monotonic()) if ended.is_good else self._first_good
            self._end(number)

    def _ask(self) -> None:
        """How far everybody is, without waiting for who is being started anew."""
        for number in set(self._runs.values()) - set(self._asked.values()):
            self._asked[self._actors[number].state.remote()] = number
        ready = self._ray.wait(list(self._asked), num_returns=len(self._asked), timeout=0)[0] if self._asked else []
        for reference in ready:
            number = self._asked.pop(reference)
            with contextlib.suppress(Exception):  # it died: how is said where its work ends
                self._states[number], self._heard[number] = self._ray.get(reference), time.monotonic()

    def _with_log(self, number: int, ended: Ended) -> Ended:
        state = self._states.get(number)
        if state is None or not state.log:
            return ended
        try:
            last = Path(state.log).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            last = [f"its log is {state.log} on its machine"]
        return Ended(broken="\n".join([ended.broken.rstrip(), *last]))

    def stop(self) -> None:
        """Tell all to stop, and wait until they have."""
        for actor in self._actors:
            actor.stop.remote()
        until = time.monotonic() + STOP_SECONDS
        begun = [reference for reference, number in self._runs.items() if number in self._states]
        if begun:
            self._ray.wait(begun, num_returns=len(begun), timeout=max(until - time.monotonic(), 0))

    def dismiss(self) -> None:
        """End whoever is still there."""
        for number in range(len(self._actors)):
            self._end(number)

    def _end(self, number: int) -> None:
        """Its cores are for others now, such as one that lost its machine."""
        with contextlib.suppress(Exception):
            self._ray.kill(self._actors[number])


def _judged(ended: Sequence[Ended], tell: Tell) -> list[Ended]:
    """The good ends; what happened to the others is said, or raised if none is good."""
    good = [one for one in ended if one.is_good]
    bad = [one for one in ended if not one.is_good]
    lines = list(dict.fromkeys(line for one in bad for line in (one.refused or one.broken.splitlines())))
    if good:
        for line in [
            f"{len(bad)} of {len(ended)} workers did not come through; the others did what was theirs:"
        ] * bool(bad) + lines:
            tell(line)
        return good
    raise EngineError(*(lines or ["no worker came through"]))
