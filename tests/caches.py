"""Small caches for tests, made without a video or an encoder."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from vjepa_fer.cache import ClipRows, ShardWriter
from vjepa_fer.cache.feature_csv import read_feature_csv
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.imports import import_features
from vjepa_fer.cache.sums import row_checksums
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.recipe import EncoderSpec, Preprocessing, Recipe, Sampling, Storage

LABELS = ("angry", "happy", "sad")


def small_recipe(**changes) -> Recipe:
    """Windows of 4 frames at 32 pixels: 2 × 2 × 2 tokens of 8 numbers."""
    encoder = EncoderSpec(
        name="tiny", family="v2", img_size=32, embed_dim=8, depth=1, num_heads=1, weights="random:0", state_key="random"
    )
    parts = {
        "encoder": encoder,
        "sampling": Sampling(frames_per_window=4, frame_step=1),
        "preprocessing": Preprocessing(crop_size=32),
        "storage": Storage(levels=("mean", "frames", "grid:2", "tokens")),
    }
    return Recipe(**{**parts, **changes})


def small_manifest(num_clips: int = 6) -> Manifest:
    """Clips c0, c1, … of three subjects and three labels."""
    clips = (
        Clip(f"c{i}", f"/videos/c{i}.mp4", LABELS[i % 3], f"s{i // 2}", {"take": str(i)}) for i in range(num_clips)
    )
    return Manifest(clips=tuple(clips))


def small_rows(clip_id: str, recipe: Recipe, *, num_rows: int = 2, seed: int = 0) -> ClipRows:
    """Rows with seeded tokens; the pooled levels are what they say."""
    steps, height, width = recipe.token_grid
    rng = np.random.default_rng([seed, *clip_id.encode()])
    tokens = rng.standard_normal((num_rows, steps, height, width, recipe.encoder.embed_dim)).astype(np.float32)
    levels = {"tokens": tokens, "mean": tokens.mean((1, 2, 3)), "frames": tokens.mean((2, 3)), "grid": tokens}
    kept = {level.partition(":")[0] for level in recipe.storage.levels}
    num_frames = recipe.sampling.frames_per_window
    indices = np.arange(num_rows)[:, None] + np.arange(num_frames)
    return ClipRows(
        clip_id=clip_id,
        source_sha256="ab" * 32,
        start_frame=np.arange(num_rows),
        view=np.zeros(num_rows),
        multiplicity=np.arange(num_rows) + 1,
        num_real_frames=np.full(num_rows, num_frames),
        frame_indices=indices,
        timestamps=indices / 25,
        levels={kind: array for kind, array in levels.items() if kind in kept},
    )


def write_small_cache(
    root: Path, *, num_clips: int = 6, shard_bytes: int = 1 << 20, recipe: Recipe | None = None
) -> Recipe:
    """A finished cache of :func:`small_manifest`; returns its recipe."""
    recipe = recipe or small_recipe()
    manifest = small_manifest(num_clips)
    prepare_cache(root, recipe, manifest)
    writer = ShardWriter(root, recipe, shard_bytes=shard_bytes)
    for clip in manifest:
        writer.add(small_rows(clip.clip_id, recipe))
    writer.flush()
    return recipe


def reseal(path: Path) -> None:
    """Give the rows of a shard that a test has edited their right checksums, as a forger would."""
    with h5py.File(path, "r+", libver="v110") as file:
        for group in ("index", "levels", "scales"):
            for name in file.get(group, ()):
                file[f"checksums/{group}/{name}"][...] = row_checksums(file[f"{group}/{name}"][...])


def token_volume(clip: int, row: int) -> np.ndarray:
    """Tokens (2, 2, 2, 8) of the caches in ``tests/data``: exact in float16, their means exact in float32."""
    step, height, width, channel = np.indices((2, 2, 2, 8))
    return (clip + row / 2 + step / 4 + height / 8 - width / 16 + channel / 32).astype(np.float32)


def write_counted_cache(root: Path) -> Path:
    """The cache that the runs in ``tests/data`` were made from: 24 clips of four people, three whole numbers each."""
    labels = [LABELS[n % 3] for n in range(24)]
    rows = [[n % 3 * 4 + n * n % 7, n % 3 * 3 - n % 5, n // 6 + n % 2] for n in range(24)]
    clips = [Clip(f"c{n}", "", labels[n], f"s{n // 6}", {"sex": "fm"[n // 6 % 2]}) for n in range(24)]
    table = root.with_name("counted.csv")
    table.write_text("clip_id,f0,f1,f2\n" + "".join(f"c{n},{a},{b},{c}\n" for n, (a, b, c) in enumerate(rows)))
    imported = read_feature_csv(table, id_column="clip_id", columns=["f*"])
    columns = ("clip_id", "path", "label", "subject", "sex")
    import_features(imported, root, Manifest(clips=tuple(clips), columns=columns))
    return root
