"""Promises of ``cache.torch_dataset``: clips of unequal length make batches, of any workers, and no row is lost, moved or made up."""

from __future__ import annotations

import doctest
import pickle
import subprocess
import sys

import numpy as np
import pytest

from caches import LABELS, small_manifest, small_recipe, small_rows
from vjepa_fer.cache import ShardWriter, join_clips, open_cache, pad_clips
from vjepa_fer.cache.folder import prepare_cache
from vjepa_fer.cache.torch_data import ClipDataset
from vjepa_fer.recipe import Storage

torch = pytest.importorskip("torch")
LENGTHS = (3, 1, 8, 2, 2, 5, 1)


@pytest.fixture(params=["float16", "int8"])
def cache(tmp_path, request):
    """Clips of one to eight windows, over several shards."""
    recipe = small_recipe(storage=Storage(levels=("mean", "tokens"), token_dtype=request.param))
    manifest = small_manifest(len(LENGTHS))
    prepare_cache(tmp_path, recipe, manifest)
    writer = ShardWriter(tmp_path, recipe, shard_bytes=3000)
    for clip, num_rows in zip(manifest, LENGTHS, strict=True):
        writer.add(small_rows(clip.clip_id, recipe, num_rows=num_rows))
    writer.flush()
    return open_cache(tmp_path)


def loader(dataset, **options):
    return torch.utils.data.DataLoader(dataset, **options)


def padded_clips(batch):
    """Each clip of a padded batch by its id: its own rows, after a look that the others hold nothing."""
    for number, clip_id in enumerate(batch["clip_id"]):
        mask = batch["mask"][number]
        assert (mask.sort(descending=True).values == mask).all(), "a clip's own rows come first"
        assert not batch["x"][number][~mask].any()
        assert not batch["multiplicity"][number][~mask].any()
        yield clip_id, batch["x"][number][mask], batch["multiplicity"][number][mask], int(batch["label"][number])


def joined_clips(batch):
    """Each clip of a joined batch by its id."""
    offsets = batch["offsets"].tolist()
    assert offsets[0] == 0
    assert offsets[-1] == len(batch["x"]) == len(batch["multiplicity"])
    for number, clip_id in enumerate(batch["clip_id"]):
        rows = slice(offsets[number], offsets[number + 1])
        yield clip_id, batch["x"][rows], batch["multiplicity"][rows], int(batch["label"][number])


WAYS = {"as it is": (None, padded_clips), "padded": (pad_clips, padded_clips), "joined": (join_clips, joined_clips)}


def check(cache, batches, parts):
    """Every clip is there once, as the cache has it."""
    seen = []
    for batch in batches:
        for clip_id, x, multiplicity, label in parts(batch):
            want = cache[clip_id]
            np.testing.assert_array_equal(x.numpy(), want.level("tokens", dtype="stored"))
            np.testing.assert_array_equal(multiplicity.numpy(), want.multiplicity)
            assert LABELS[label] == want.clip.label
            seen.append(clip_id)
    assert sorted(seen) == sorted(cache.done)
    return seen


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_clips_of_unequal_length_make_batches(cache, way, batch_size):
    collate, parts = WAYS[way]
    batches = list(loader(cache.torch_dataset("tokens"), batch_size=batch_size, collate_fn=collate))
    assert check(cache, batches, parts) == [clip.clip_id for clip in cache.clips]
    assert batches[0]["subject"][0] == "s0"
    if batch_size == 7 and way != "joined":
        assert batches[0]["x"].shape[:2] == batches[0]["mask"].shape == (7, 8)


@pytest.mark.parametrize(("method", "way"), [("spawn", "as it is"), ("forkserver", "padded"), ("fork", "joined")])
def test_workers_of_every_kind_shuffle_without_mixing_clips(tmp_path, way, method):
    if sys.platform == "win32" and method != "spawn":
        pytest.skip("not there")
    recipe = small_recipe()
    manifest = small_manifest(len(LENGTHS))
    prepare_cache(tmp_path, recipe, manifest)
    writer = ShardWriter(tmp_path, recipe)
    for clip, num_rows in zip(manifest, LENGTHS, strict=True):
        writer.add(small_rows(clip.clip_id, recipe, num_rows=num_rows))
    writer.flush()
    cache, (collate, parts) = open_cache(tmp_path), WAYS[way]
    options = {"num_workers": 2, "multiprocessing_context": method, "shuffle": True}
    torch.manual_seed(3)
    batches = loader(cache.torch_dataset("tokens"), batch_size=3, collate_fn=collate, **options)
    assert check(cache, batches, parts) != [clip.clip_id for clip in cache.clips]


@pytest.mark.parametrize("collate", [pad_clips, join_clips])
def test_parts_of_datasets_and_several_of_them_are_collated_too(cache, collate):
    whole, parts = cache.torch_dataset("tokens"), dict(WAYS.values())[collate]
    first, rest = torch.utils.data.Subset(whole, [0, 2]), torch.utils.data.Subset(whole, [1, 3, 4, 5, 6])
    both = torch.utils.data.ConcatDataset([first, rest])  # which asks for items one by one
    check(cache, loader(both, batch_size=4, collate_fn=collate), parts)


@pytest.mark.parametrize("cache", ["float16"], indirect=True)
def test_a_dataset_opens_in_a_process_that_knows_nothing_of_ours(cache, tmp_path):
    """What spawn does on Windows and macOS: the pickle alone travels."""
    (tmp_path / "dataset.pickle").write_bytes(pickle.dumps((cache.torch_dataset("tokens"), pad_clips, join_clips)))
    code = (
        "import pickle, sys\n"
        "dataset, pad, join = pickle.load(open(sys.argv[1], 'rb'))\n"
        "items = [dataset[n] for n in range(len(dataset))]\n"
        "print(tuple(pad(items)['x'].shape), tuple(join(items)['x'].shape))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "dataset.pickle")],
        capture_output=True,
        text=True,
        cwd="/",
        check=True,
    )
    assert done.stdout.strip() == "(7, 8, 2, 2, 2, 8) (22, 2, 2, 2, 8)"


def test_a_batch_of_one_length_is_not_copied_to_be_padded(cache):
    first = cache.torch_dataset("tokens")
    items = [first[3], first[4]]
    from vjepa_fer.cache.torch_data import _padded

    assert [one["x"].data_ptr() for one in _padded(items)] == [one["x"].data_ptr() for one in items]


def test_the_example_in_the_docstring_runs(cache):
    (example,) = doctest.DocTestFinder(recurse=False).find(ClipDataset, "ClipDataset", globs={"cache": cache})
    assert len(example.examples) > 4
    assert doctest.DocTestRunner(verbose=False).run(example).failed == 0
