"""A weights file says or shows whose it is; one that could be another's is never taken for it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import save_file

from test_checkpoint import official_file, tiny_config
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.files import whose
from vjepa_fer.encoder.files.whose import encoder_of_file, refuse_file_of_another_encoder
from vjepa_fer.encoder.loading import recognise
from vjepa_fer.encoder.loading.recognise import recognise_file
from vjepa_fer.encoder.loading.slim import slim_checkpoint
from vjepa_fer.encoder.model import zoo
from vjepa_fer.encoder.model.zoo import OFFICIAL_ENCODERS, official_encoder
from vjepa_fer.errors import CheckpointError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tiny(zoo.OfficialEncoder):
    """An official encoder in small."""

    @property
    def config(self):
        side = self.resolution // 16 * 16
        return tiny_config(self.family, img_size=side, embed_dim=24 if self.architecture == "ViT-B/16" else 48)


@pytest.fixture(autouse=True)
def tiny_zoo(monkeypatch):
    """The eleven official encoders, all of them tiny, and large only if the official one is."""
    small = {
        name: Tiny(**{f.name: getattr(e, f.name) for f in dataclasses.fields(e)})
        for name, e in OFFICIAL_ENCODERS.items()
    }
    for module in (recognise, whose, zoo):
        monkeypatch.setattr(module, "OFFICIAL_ENCODERS", small)


def test_a_file_of_any_name_is_recognised_by_its_tensors_and_key(tmp_path):
    written = official_file(tmp_path / "copy.bin", "v21", img_size=384)
    loaded = load_encoder(str(tmp_path / "copy.bin"))
    assert (loaded.spec.name, loaded.spec.state_key) == ("vjepa2.1-base-384", "ema_encoder")
    assert loaded.preprocessing.crop_size == 384
    x = torch.ones(1, 3, 4, 48, 32)
    assert torch.equal(loaded.encode(x), written(x))


def test_a_file_that_could_be_several_encoders_needs_a_name(tmp_path):
    state = torch.load(_v2_file(tmp_path), weights_only=True)["target_encoder"]
    plain = {name: tensor for name, tensor in state.items() if "pos_embed" not in name}
    torch.save({"target_encoder": plain}, tmp_path / "copy.pt")
    with pytest.raises(CheckpointError, match=r"can be vjepa2-large-256 or .* same tensors; say which encoder it is"):
        recognise_file(tmp_path / "copy.pt")


def _v2_file(folder):
    official_file(folder / "w.pt", "v2", embed_dim=48, img_size=256)
    return folder / "w.pt"


def test_a_file_of_no_official_encoder_says_what_it_looks_like(tmp_path):
    official_file(tmp_path / "w.pt", "v21", embed_dim=36)
    with pytest.raises(
        CheckpointError, match=r"no official encoder's weights \(it looks like V-JEPA 2\.1, 4 layers, 36 wide"
    ):
        load_encoder(str(tmp_path / "w.pt"))


def test_what_is_no_weights_file_is_said_as_ever(tmp_path):
    (tmp_path / "w.pt").write_text("<!doctype html><title>403</title>")
    with pytest.raises(CheckpointError, match="an HTML or XML page, not weights"):
        load_encoder(str(tmp_path / "w.pt"))


def test_another_state_dict_is_taken_only_on_request(tmp_path):
    official_file(tmp_path / "w.pt", "v21", img_size=384)
    assert recognise_file(tmp_path / "w.pt", state_key="encoder").state_key == "encoder"
    with pytest.raises(CheckpointError, match="no state dict 'nothing' inside"):
        recognise_file(tmp_path / "w.pt", state_key="nothing")


def test_a_slim_file_remembers_its_encoder_under_any_name(tmp_path):
    official_file(tmp_path / "vjepa2_1_vitb_dist_vitG_384.pt", "v21", img_size=384)
    slim_checkpoint(tmp_path / "vjepa2_1_vitb_dist_vitG_384.pt", tmp_path / "small")
    known = recognise_file(tmp_path / "small")
    assert (known.name, known.state_key) == ("vjepa2.1-base-384", "ema_encoder")


@pytest.mark.parametrize(
    "metadata", [{"encoder": "vjepa2-giant-256"}, {"origin_file": "vitg.pt"}], ids=["by name", "by its origin"]
)
def test_a_slim_giant_of_256_pixels_is_never_taken_for_one_of_384(tmp_path, metadata):
    save_file({"w": torch.ones(2)}, tmp_path / "small.safetensors", metadata | {"state_key": "target_encoder"})
    with pytest.raises(CheckpointError, match=r"so it is the file of vjepa2-giant-256, not of vjepa2-giant-384"):
        load_encoder("vjepa2-giant-384", weights=tmp_path / "small.safetensors")


@pytest.mark.parametrize(
    ("file", "owner"),
    [
        ("vitg-384.pt", "vjepa2-giant-384"),
        ("weights/vjepa2-giant-384.pt", "vjepa2-giant-384"),
        ("weights/vjepa2-giant-384-encoder.safetensors", "vjepa2-giant-384"),
        ("vjepa2-vitg-fpc64-384/model.safetensors", "vjepa2-giant-384"),
        ("models--facebook--vjepa2-vitg-fpc64-384/snapshots/0a1b/model.safetensors", "vjepa2-giant-384"),
        ("vitg-tuned-on-faces.pt", None),
        ("model.safetensors", None),
    ],
)
def test_names_and_folders_say_whose_a_file_is(tmp_path, file, owner):
    found = encoder_of_file(tmp_path / file)
    assert (found and found.name) == owner
    if owner:
        with pytest.raises(CheckpointError, match=r"file of vjepa2-giant-384, not of vjepa2-giant-256"):
            refuse_file_of_another_encoder("vjepa2-giant-256", tmp_path / file)
    refuse_file_of_another_encoder(owner or "vjepa2-giant-256", tmp_path / file)


def test_names_that_differ_in_case_alone_are_told_apart():
    assert encoder_of_file("vjepa2_1_vitg_384.pt") == official_encoder("vjepa2.1-giant-384")
    assert encoder_of_file("vjepa2_1_vitG_384.pt") == official_encoder("vjepa2.1-gigantic-384")
