"""A weights file comes in; why it could not be extracted with comes out, or nothing: what the loader would say, said beforehand."""

from __future__ import annotations

from pathlib import Path

from vjepa_fer.encoder.loading.checkpoint import check_finite, check_state, read_state
from vjepa_fer.encoder.loading.registry import find_encoder
from vjepa_fer.errors import CheckpointError


def why_refused(name: str, path: Path, *, state_key: str) -> str | None:
    """Why the loader refuses `path` as the weights of the named encoder; None when it takes them. All of the encoder is read."""
    try:
        state = read_state(path, state_key=state_key)
        check_state(find_encoder(name).config, state, source=path)
        check_finite(state, source=path)
    except CheckpointError as error:
        return str(error)
    return None
