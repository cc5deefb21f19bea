"""A weights file without a model's name comes in, the official encoder whose weights it holds goes out, or an error that says why none."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from vjepa_fer.doors import read_object
from vjepa_fer.encoder.files.whose import encoder_of_file
from vjepa_fer.encoder.loading.checkpoint import check_state, looks_like, read_state, told_state_key
from vjepa_fer.encoder.model.known import KnownEncoder
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, OfficialEncoder
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.dress import weights_files

_HINT = "say which encoder it is, or which state dict to take, or register it with a TOML file"


def recognise_file(path: Path, *, state_key: str | None = None) -> KnownEncoder:
    """The one official encoder that a file says it is, or whose tensors it has exactly.

    Each encoder is looked for under the state key that its official evaluation reads, or that the file itself tells;
    never under another because the first is not there.

    Parameters
    ----------
    path : Path
    state_key : str, optional
        The only state dict to look at.

    Raises
    ------
    CheckpointError
        Not a weights file, no official encoder's, or that of several which only a name can tell apart.
    """
    told = state_key or told_state_key(path)
    said = encoder_of_file(path)
    fitting = [said] if said else _of_its_size(path, _fitting(path, told))
    if len(fitting) > 1:
        names = " or ".join(encoder.name for encoder in fitting)
        raise CheckpointError(f"{path}: can be {names}, which have the same tensors; {_HINT}")
    encoder = fitting[0]
    key = told or encoder.state_key
    return KnownEncoder(name=encoder.name, config=encoder.config, state_key=key, weights=path)


def _of_its_size(path: Path, fitting: list[OfficialEncoder]) -> list[OfficialEncoder]:
    """Of encoders with the same tensors those that see as many pixels as Hugging Face's ``config.json`` beside the weights says."""
    beside = weights_files(path).files[0].with_name("config.json")
    if len(fitting) < 2 or not beside.is_file():
        return fitting
    side = read_object(beside, error=CheckpointError, at_most=1 << 20).values.get("crop_size")
    return [encoder for encoder in fitting if encoder.resolution == side] or fitting


def _fitting(path: Path, told: str | None) -> list[OfficialEncoder]:
    states: dict[str, dict[str, Tensor]] = {}
    faults: list[CheckpointError] = []
    for key in dict.fromkeys(told or encoder.state_key for encoder in OFFICIAL_ENCODERS.values()):
        try:
            states[key] = read_state(path, state_key=key, shapes_do=True)
        except CheckpointError as error:
            faults.append(error)
    if not states:
        raise CheckpointError(f"{faults[0]}; {_HINT}")
    fitting = [e for e in OFFICIAL_ENCODERS.values() if _fits(e, states.get(told or e.state_key), path)]
    if not fitting:
        raise CheckpointError(
            f"{path}: no official encoder's weights ({looks_like(next(iter(states.values())))}); {_HINT}"
        )
    return fitting


def _fits(encoder: OfficialEncoder, state: dict[str, Tensor] | None, path: Path) -> bool:
    try:
        if state is not None:
            check_state(encoder.config, state, source=path)
    except CheckpointError:
        return False
    return state is not None
