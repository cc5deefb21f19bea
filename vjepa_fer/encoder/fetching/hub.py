"""The name of a V-JEPA 2 comes in; Hugging Face's weights lie in the home folder afterwards, in the official layout."""

from __future__ import annotations

from pathlib import Path

from vjepa_fer.encoder.fetching.download import check_space
from vjepa_fer.encoder.fetching.fetch import FetchedWeights, alone, place_weights, weights_that_are_here
from vjepa_fer.encoder.files.hashes import known_sha256
from vjepa_fer.encoder.files.home import HUB_STATE_KEY, weights_file
from vjepa_fer.encoder.loading.checkpoint import check_state, read_state
from vjepa_fer.encoder.loading.slim import write_encoder_file
from vjepa_fer.encoder.model.zoo import encoder_config, official_encoder
from vjepa_fer.errors import DownloadError
from vjepa_fer.extras import require_extra

_FILE = "model.safetensors"


def fetch_from_hub(name: str) -> FetchedWeights:
    """Fetch Meta's repository on Hugging Face through ``huggingface_hub`` and rewrite its encoder under the official names.

    Hugging Face's own cache keeps the download. The new file has the encoder alone, says that it is the online ``encoder``,
    and carries the SHA-256 of the file that it came from.

    Raises
    ------
    RecipeError
        No official encoder has this name.
    MissingExtraError
        ``huggingface_hub`` is not installed.
    DownloadError
        Meta has no repository for it, or it cannot be fetched.
    CheckpointError
        The repository's file is not exactly this encoder.
    """
    official = official_encoder(name)
    if official.hub_repo is None:
        raise DownloadError(
            f"{name}: Meta has no repository on Hugging Face for it; `vjepa-fer models fetch {name}` takes its own file"
        )
    require_extra("hub", ("huggingface_hub",), "fetching from Hugging Face")
    path = weights_file(name, hub=True)
    url = f"https://huggingface.co/{official.hub_repo}"
    with alone(path):
        if path.is_file():
            return weights_that_are_here(path, official, url=url, state_key=HUB_STATE_KEY)
        part = path.with_name(path.name + ".part")
        _rewrite(_download(official.hub_repo), part, name)
        return place_weights(part, path, official, url=url, state_key=HUB_STATE_KEY)


def _download(repo: str) -> Path:
    import huggingface_hub

    try:
        return Path(huggingface_hub.hf_hub_download(repo, _FILE))
    except Exception as error:  # its own errors, or those of whichever HTTP library it uses
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DownloadError(f"https://huggingface.co/{repo}: {_FILE} cannot be fetched: {reason}") from error


def _rewrite(source: Path, part: Path, name: str) -> None:
    state = read_state(source, state_key=HUB_STATE_KEY)
    check_state(encoder_config(name), state, source=source)
    check_space(part.parent, source.stat().st_size)
    origin = {"encoder": name, "origin_file": source.name, "origin_sha256": known_sha256(source)}
    write_encoder_file(part, state, {"state_key": HUB_STATE_KEY, **origin})
