"""What transformers computes is in our cache as that library gives it: tokens, layers and `cls` of every kind, and what is refused by name."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
import transformers as tf
from typer.testing import CliRunner

from baselines import KINDS, ONE_FOR_ALL, PILLOW, VIDEO, edit, save
from videos import encode, ffmpeg_frames
from vjepa_fer.cache import open_cache
from vjepa_fer.cli.main import app
from vjepa_fer.encoder import load_encoder
from vjepa_fer.encoder.baselines import source
from vjepa_fer.encoder.baselines.processor import DEFAULTS, read_preprocessing
from vjepa_fer.errors import CheckpointError, DownloadError, RecipeError
from vjepa_fer.extract import extract_manifest, make_recipe
from vjepa_fer.manifest import read_manifest
from vjepa_fer.recipe import Recipe, Sampling, Storage, fingerprint, recipe_from_json, recipe_to_json

SIZE = (90, 120)
FRAMES = Sampling(frames_per_window=4, frame_step=3, num_segments=2)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Twenty frames of a moving test picture, and a manifest of it."""
    folder = tmp_path_factory.mktemp("film")
    encode("lavfi:testsrc2=size=120x90:rate=10:duration=2", folder / "film.mp4", "-pix_fmt", "yuv420p")
    (folder / "m.csv").write_text("clip_id,path,label,subject\na,film.mp4,x,s\n")
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Kind → the folder of one, saved when first asked for."""
    root, saved = tmp_path_factory.mktemp("models"), {}

    def of(kind):
        if kind not in saved:
            saved[kind] = save(kind, root / kind)
        return saved[kind]

    return of


@pytest.fixture
def copied(models, tmp_path):
    """A copy of a kind's folder, to change."""
    return lambda kind: shutil.copytree(models(kind), tmp_path / f"copy-{kind}")


def call(*words, status=0):
    done = CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done


def extracted(film, folder, cache, levels, **options):
    encoder = load_encoder(f"hf:{folder}", **options)
    recipe = make_recipe(encoder, sampling=FRAMES, storage=Storage(levels=levels, token_dtype="float32"))
    extract_manifest(read_manifest(film / "m.csv"), cache, encoder, recipe, progress=False)
    return open_cache(cache)


def processed(kind, folder, frames):
    """A window's frames as the library's own processor gives them, (T, 3, H, W)."""
    _, _, processor, numbers = KINDS[kind]
    if processor in PILLOW:
        own = getattr(tf, PILLOW[processor]).from_pretrained(folder)
    else:  # their own need torchvision: the same numbers in the one that does not
        bicubic = {"resample": 3} if processor.startswith("Llava") else {}
        dino = {"image_mean": (0.485, 0.456, 0.406), "image_std": (0.229, 0.224, 0.225)} if not bicubic else {}
        own = tf.ViTImageProcessorPil(**numbers, **bicubic, **dino)
    return own(list(frames), return_tensors="pt")["pixel_values"].reshape(-1, 3, 32, 32).float()


def by_hand(kind, folder, frames):
    """``last_hidden_state`` and ``hidden_states`` of the library's model."""
    model = getattr(tf, KINDS[kind][1]).from_pretrained(folder).eval()
    pixels = processed(kind, folder, frames)
    told = {}
    if kind == "vit_mae":
        model.config.mask_ratio = 0.0
        told["noise"] = torch.arange(16.0).expand(len(pixels), -1)
    with torch.inference_mode():
        out = model(pixels[None] if kind in VIDEO else pixels, output_hidden_states=kind != "videoprism", **told)
    return out.last_hidden_state, out.hidden_states if kind != "videoprism" else None


def on_grid(kind, tokens, special):
    """(T', H', W', D) and the class and register tokens, laid out here by another way than the library's adapter's."""
    steps, dim = {"videomae": 2, "vivit": 2}.get(kind, 4), tokens.shape[-1]
    grid = np.zeros((steps, 4, 4, dim), np.float32)
    for t, h, w in np.ndindex(steps, 4, 4):
        place = 4 * h + w
        at = {"timesformer": (0, 1 + place * steps + t)}.get(kind, (0, special + 16 * t + place))
        grid[t, h, w] = tokens[at if kind in VIDEO else (t, special + place)]
    return grid, tokens[:, :special].numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_a_cache_holds_what_the_library_gives_by_hand_on_frames_of_the_ffmpeg_program(kind, film, models, tmp_path):
    encoder_class = KINDS[kind][1]
    special = {"registers": 4, "dinov3": 3, "videomae": 0, "siglip": 0, "videoprism": 0}.get(kind, 1)
    levels = ("mean", "tokens", "grid:2@1", "tokens@0") + (("cls", "cls@1") if special else ())
    cache = extracted(film, models(kind), tmp_path / "c", levels)
    clip, frames = cache[0], ffmpeg_frames(film / "film.mp4", *SIZE)
    for row, indices in enumerate(clip.frame_indices):
        last, hidden = by_hand(kind, models(kind), frames[indices])
        grid, first = on_grid(kind, last, special)
        assert grid.std() > 0.1, encoder_class
        np.testing.assert_allclose(clip.level("tokens")[row], grid, atol=1e-5, rtol=0)
        np.testing.assert_allclose(clip.level("mean")[row], grid.mean((0, 1, 2)), atol=1e-5, rtol=0)
        if special:
            np.testing.assert_allclose(clip.level("cls")[row], first, atol=1e-5, rtol=0)
            assert clip.level("cls").shape[1:] == (1 if kind in ONE_FOR_ALL else 4, special, 24)
        if hidden is None:
            continue
        early, _ = on_grid(kind, hidden[1], special)
        np.testing.assert_allclose(clip.level("tokens@0")[row], early, atol=1e-5, rtol=0)
        middle, first = on_grid(kind, hidden[2], special)
        cells = middle.reshape(-1, 2, 2, 2, 2, 24).mean((2, 4))
        np.testing.assert_allclose(clip.level("grid:2@1")[row], cells, atol=1e-5, rtol=0)
        if special:
            np.testing.assert_allclose(clip.level("cls@1")[row], first, atol=1e-5, rtol=0)


def test_videoprisms_layers_look_at_frames_and_then_at_places_through_time(models):
    encoder = load_encoder(f"hf:{models('videoprism')}")
    pixels = torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    own = encoder.module.model
    outs = {}
    for name, layer in (("space", own.spatial_layers[1]), ("time", own.temporal_layers[0])):
        layer.register_forward_hook(lambda module, given, out, name=name: outs.update({name: out}))
    layers = dict(encoder.encode_layers(pixels, [1, None]))
    assert layers[1].shape == layers[None].shape == (2, 64, 24)
    torch.testing.assert_close(layers[1][1, 3 * 16 + 5], outs["space"][1 * 4 + 3, 5])
    normed = own.layernorm2(outs["time"])
    torch.testing.assert_close(layers[None][1, 3 * 16 + 5], normed[1 * 16 + 5, 3])


@pytest.fixture(scope="module")
def recipe_of():
    def make(folder, **options):
        encoder = load_encoder(f"hf:{folder}", **options)
        return make_recipe(encoder, sampling=FRAMES, storage=Storage(levels=("mean",)))

    return make


def test_sharded_weights_and_a_folder_of_another_name_are_the_same_encoder(models, tmp_path, recipe_of):
    whole = models("videomae")
    parts = save("videomae", tmp_path / "in-parts", max_shard_size="20KB")
    assert len(list(parts.glob("model-*.safetensors"))) > 1
    moved = shutil.copytree(whole, tmp_path / "another-name")
    assert fingerprint(recipe_of(moved)) == fingerprint(recipe_of(whole))
    one, other = (load_encoder(f"hf:{folder}").module.state_dict() for folder in (whole, parts))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (
        dataclasses.replace(recipe_of(parts).encoder, weights=recipe_of(whole).encoder.weights)
        == recipe_of(whole).encoder
    )


@pytest.mark.parametrize(
    "change",
    [
        {"resample": 3},
        {"size": {"shortest_edge": 40}},
        {"image_mean": [0.4, 0.5, 0.5]},
        {"image_std": [0.4, 0.5, 0.5]},
        {"rescale_factor": 1 / 127.5},
        {"do_normalize": False},
        {"do_center_crop": False, "size": {"height": 32, "width": 32}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_processor_file_gives_another_fingerprint(change, copied, models, recipe_of):
    folder = copied("videomae")
    edit(folder, "preprocessor_config.json", **change)
    assert fingerprint(recipe_of(folder)) != fingerprint(recipe_of(models("videomae")))


def test_a_recipe_says_whose_numbers_they_are_and_reads_back(models, recipe_of, monkeypatch):
    recipe = recipe_of(models("registers"))
    library, processor = recipe.encoder.library, recipe.preprocessing.processor
    assert (library.library, library.version, library.model_type) == (
        "transformers",
        tf.__version__,
        "dinov2_with_registers",
    )
    assert json.loads(library.config)["num_register_tokens"] == 3
    model = tf.Dinov2WithRegistersModel.from_pretrained(models("registers"))
    assert library.parameters == sum(p.numel() for p in model.parameters())
    assert processor.resize == (36,)
    assert (processor.rescale, processor.offset) == (255.0, 0.0)
    assert recipe.preprocessing.interpolation == "antialiased-bicubic"
    assert recipe_from_json(recipe_to_json(recipe)) == recipe
    newer = dataclasses.replace(library, version="99.0")
    other = dataclasses.replace(recipe, encoder=dataclasses.replace(recipe.encoder, library=newer))
    assert fingerprint(other) != fingerprint(recipe)


def test_operations_are_those_of_the_matrix_products(recipe_of, models):
    """ViT by hand: a frame of 17 tokens, 24 wide, 48 in the MLP, three layers; sixteen patches of 192 numbers."""
    tokens, dim, hidden = 17, 24, 48
    layer = 2 * tokens * (4 * dim * dim + 2 * dim * hidden) + 2 * 2 * tokens * tokens * dim
    assert recipe_of(models("vit")).encoder.library.flops == 3 * layer + 2 * 16 * 192 * dim


def test_random_weights_are_the_same_bits_and_a_control(models):
    one, again, other = (load_encoder(f"hf:{models('clip')}", weights=f"random:{seed}") for seed in (3, 3, 4))
    assert "with random weights, seed 3" in one.spec.control
    states = [encoder.module.state_dict() for encoder in (one, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    weights = next(name for name in states[0] if name.endswith("q_proj.weight"))
    assert not torch.equal(states[0][weights], states[2][weights])
    own = tf.CLIPVisionModel.from_pretrained(models("clip")).state_dict()
    assert not any(torch.equal(states[0][f"model.{name}"], own[name]) for name in own if name.endswith("q_proj.weight"))


def test_the_hub_is_pinned_to_its_commit_and_asked_for_no_pickle(models, tmp_path, monkeypatch):
    commit, asked = "0123456789" * 4, []
    snapshot = shutil.copytree(models("vit"), tmp_path / "snapshots" / commit)

    def snapshot_download(repository, *, revision, allow_patterns):
        asked.append((repository, revision, allow_patterns))
        if repository == "no/one":
            raise OSError("404 Client Error\nand a page of it")
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    source._from_hub.cache_clear()
    spec = load_encoder("hf:some/vit@main").spec
    assert (spec.name, spec.library.repository, spec.library.revision) == ("some/vit", "some/vit", commit)
    assert [one[:2] for one in asked] == [("some/vit", "main")]
    assert all(".bin" not in pattern and ".py" not in pattern and "*" not in pattern for pattern in asked[0][2])
    with pytest.raises(DownloadError, match=r"hf:no/one: .*404 Client Error$"):
        load_encoder("hf:no/one")
    with pytest.raises(RecipeError, match="no such folder, and no repository"):
        load_encoder(f"hf:{tmp_path}/absent")
    source._from_hub.cache_clear()


def _pickled(folder):
    model = folder / "model.safetensors"
    (folder / "pytorch_model.bin").write_bytes(model.read_bytes())
    model.unlink()


def _with_nan(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    state = load_file(path)
    state[next(name for name in state if name.endswith("norm.weight"))][0] = float("nan")
    save_file(state, path, {"format": "pt"})


def _fewer(folder):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    state = load_file(path)
    save_file({name: tensor for name, tensor in state.items() if "layernorm.bias" not in name}, path, {"format": "pt"})


def _cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


PROCESSOR = "preprocessor_config.json"


@pytest.mark.parametrize(
    ("damage", "kind", "message"),
    [
        (_pickled, "vit", r"pytorch_model.bin: reading a pickle runs code; save it anew"),
        (_with_nan, "vit", r"1 of .* tensors hold NaN or infinity: .*norm.weight"),
        (_fewer, "vit", r"layernorm.bias.* of the architecture are not in the weights"),
        (_cut, "vit", r"model.safetensors: transformers cannot load it"),
        (
            lambda f: edit(f, "config.json", auto_map={"AutoModel": "own.Model"}),
            "vit",
            r"config.json: auto_map: .*not run",
        ),
        (lambda f: edit(f, PROCESSOR, auto_map={"a": "b"}), "vit", r"preprocessor_config.json: auto_map"),
        (lambda f: (f / PROCESSOR).unlink(), "vit", r"no processor is beside the model"),
        (lambda f: (f / "config.json").unlink(), "vit", r"config.json: not here"),
        (lambda f: (f / "model.safetensors").unlink(), "vit", r"neither model.safetensors nor"),
        (
            lambda f: edit(f, "config.json", num_hidden_layers=2),
            "vit",
            r"of the weights have no place in the architecture",
        ),
        (
            lambda f: edit(f, "config.json", model_type="vitt"),
            "vit",
            r"model_type 'vitt' is not one of .*did you mean 'vit'",
        ),
        (lambda f: edit(f, "config.json", model_type="siglip2"), "siglip", r"'siglip2': it cuts each picture"),
        (lambda f: edit(f, "config.json", model_type="pe_video"), "vit", r"'pe_video': Perception Encoder .*timm"),
        (lambda f: edit(f, "config.json", model_type="vjepa2"), "vit", r"'vjepa2': V-JEPA 2 has a loader of its own"),
        (
            lambda f: edit(f, "config.json", image_size=64),
            "vit",
            r"takes 64 × 64 pixels, and its processor makes 32 × 32",
        ),
        (lambda f: edit(f, "config.json", patch_size=7), "dinov2", r"32 pixels are not a multiple of its patches of 7"),
        (lambda f: edit(f, "config.json", attention_type="space_only"), "timesformer", r"tokens lie on no grid"),
        (
            lambda f: edit(f, PROCESSOR, image_processor_type="GlimpseImageProcessor"),
            "vit",
            r"is not one of VideoMAE, ",
        ),
        (lambda f: edit(f, PROCESSOR, resample=1), "vit", r"resample 1 is neither 2, bilinear, nor 3"),
        (lambda f: edit(f, PROCESSOR, do_pad=True), "vit", r"'do_pad': not known, and so not followed"),
        (lambda f: edit(f, PROCESSOR, do_resize=False), "vit", r"do_resize is off"),
        (lambda f: edit(f, PROCESSOR, do_center_crop=False), "clip", r"frames keep their shape"),
        (lambda f: edit(f, PROCESSOR, size={"shortest_edge": 30}), "clip", r"crop_size \(32, 32\) is larger than"),
        (lambda f: edit(f, PROCESSOR, size={"longest_edge": 30}), "clip", r"neither a short side nor height and width"),
        (lambda f: edit(f, PROCESSOR, image_mean=[0.5]), "clip", r"image_mean \[0.5\] is not three numbers"),
    ],
)
def test_what_is_not_known_is_refused_by_name(damage, kind, message, copied):
    folder = copied(kind)
    damage(folder)
    with pytest.raises((CheckpointError, RecipeError), match=message):
        load_encoder(f"hf:{folder}")


def test_settings_that_a_model_does_not_have_are_refused(models):
    folder = models("videomae")
    encoder = load_encoder(f"hf:{folder}")
    with pytest.raises(RecipeError, match=r"takes 4 frames, no others; ask for `--frames 4`"):
        make_recipe(encoder)
    with pytest.raises(RecipeError, match=r"level cls: videomae-3x24-32 has no class or register tokens"):
        make_recipe(encoder, sampling=FRAMES, storage=Storage(levels=("cls",)))
    with pytest.raises(RecipeError, match="its own processor, which makes 32 × 32"):
        load_encoder(f"hf:{folder}", resolution=64)
    with pytest.raises(RecipeError, match="own processor says antialiased; leave it out"):
        make_recipe(encoder, sampling=FRAMES, interpolation="bilinear")
    with pytest.raises(RecipeError, match="its weights lie in its folder"):
        load_encoder(f"hf:{folder}", weights="w.pt")
    with pytest.raises(RecipeError, match="one state dict"):
        load_encoder(f"hf:{folder}", state_key="encoder")


@pytest.mark.parametrize("name", sorted(set(DEFAULTS) - {"DINOv3ViT", "Timesformer", "LlavaOnevision", "Vivit"}))
def test_what_a_silent_file_means_is_what_the_librarys_class_says(name, tmp_path):
    theirs = getattr(tf, f"{name}ImageProcessorPil")()
    (tmp_path / PROCESSOR).write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor"}))
    ours = read_preprocessing(tmp_path)
    spelled = {key: value for key, value in theirs.to_dict().items() if key in DEFAULTS[name]}
    (tmp_path / PROCESSOR).write_text(json.dumps({"image_processor_type": f"{name}ImageProcessor", **spelled}))
    assert read_preprocessing(tmp_path) == ours
    for key in ("resample", "do_center_crop", "default_to_square"):
        assert bool(DEFAULTS[name][key]) == bool(getattr(theirs, key)), key


def test_frames_equal_pillows_own_and_portraits_to_a_grey_level(tmp_path):
    """Larger, smaller, portrait and as it is; both filters, the short side and both sides."""
    from vjepa_fer.video import prepare_frame

    rng = np.random.default_rng(0)
    for shape in ((90, 120), (121, 75), (20, 31), (36, 50), (33, 300)):
        frame = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
        for stem, numbers in (("CLIP", KINDS["clip"][3]), ("ViT", KINDS["vit"][3]), ("VideoMAE", KINDS["videomae"][3])):
            (tmp_path / PROCESSOR).write_text(json.dumps({"image_processor_type": f"{stem}ImageProcessor", **numbers}))
            own = getattr(tf, f"{stem}ImageProcessorPil")(**numbers, do_rescale=False, do_normalize=False)
            theirs = np.asarray(own([frame], return_tensors="np")["pixel_values"]).reshape(3, 32, 32)
            ours = prepare_frame(frame, read_preprocessing(tmp_path))
            away = np.abs(ours.transpose(2, 0, 1).astype(int) - theirs).max()
            assert away <= (shape[0] > shape[1]), f"{stem} {shape}"  # Pillow 13 takes some tall frames by rows first


def test_extract_by_name_says_whose_it_is_and_takes_layers_by_depth(models, film, tmp_path):
    words = ("extract", film / "m.csv", tmp_path / "c", "--model", f"hf:{models('dinov2')}", "--workers", 0)
    done = call(*words, "--layers", "0.3,1.0", "--level", "mean", "--level", "cls")
    said = " ".join(done.output.split())
    assert f"computed by transformers {tf.__version__}" in said
    assert "0.3 is layer 0, 1.0 is layer 2" in said
    recipe = open_cache(tmp_path / "c").recipe
    assert isinstance(recipe, Recipe)
    assert recipe.storage.levels == ("mean@0", "mean", "cls@0", "cls")
    again = call(*words, "--layers", "0.3,1.0", "--level", "mean", "--level", "cls", "--dry-run").output
    assert "to do: 0 clips" in again
    shown = call("cache", "info", tmp_path / "c").output
    assert f"transformers {tf.__version__}" in " ".join(shown.split())
