"""The options by which a command is done by the workers of a cluster, and what they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

if TYPE_CHECKING:
    from vjepa_fer.engines import RayEngine

Engine = Literal["here", "ray"]
EngineOption = Annotated[
    Engine,
    typer.Option(
        help="here: this process; ray: workers of a Ray cluster, which share the work as array tasks would. Its machines must see the same "
        "files."
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="With --engine ray: the cluster, or auto for the one that this machine is part of.",
        show_default="RAY_ADDRESS, else this machine alone",
    ),
]
CpusOption = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-worker",
        min=1,
        max=4096,
        help="With --engine ray: cores of each worker.",
        show_default="its share of a machine",
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        min=0,
        max=64,
        help="With --engine ray: GPUs of each worker.",
        show_default="1 where there are any",
    ),
]


class EngineAsked(NamedTuple):
    """The four options, as typed. As the other values of `cli/`, no dataclass: making one takes the start of every command over a millisecond."""

    engine: Engine
    address: str | None
    cpus: int | None
    gpus: float | None


def engine_of(asked: EngineAsked, workers: int | None) -> RayEngine | None:
    """The engine that the options ask for; None for this process.

    Raises
    ------
    typer.BadParameter
        An option of a cluster without one.
    """
    if asked.engine == "here":
        given = {"--address": asked.address, "--cpus-per-worker": asked.cpus, "--gpus-per-worker": asked.gpus}
        if typed := [name for name, value in given.items() if value is not None]:
            raise typer.BadParameter(f"{' and '.join(typed)} of a cluster: add --engine ray, or leave it out")
        return None
    from vjepa_fer.engines import RayEngine
    from vjepa_fer.extras import require_extra

    require_extra("ray", ("ray",), "--engine ray")
    return RayEngine(asked.address, workers, asked.cpus, asked.gpus)
