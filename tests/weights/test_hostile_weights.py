"""A weights file made to fill the memory or the disk is refused in a sentence, by a process that may take little memory."""

from __future__ import annotations

import collections
import contextlib
import io
import itertools
import json
import operator
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vjepa_fer.encoder.loading.checkpoint import WHOLE_FILE, read_state
from vjepa_fer.encoder.loading.slim import slim_checkpoint
from vjepa_fer.errors import CheckpointError
from vjepa_fer.weights.pickles import Called, ForeignObjectError, Named, Outside, read_pickle
from vjepa_fer.weights.torch_file import StoredTensor

STORAGE = ("storage", torch.FloatStorage, "0", "cpu")
MEMORY = 1 << 31
"""Bytes beyond what the interpreter and torch have mapped when a file is opened."""


class Call:
    """Is pickled as a call, such as a malicious writer puts there."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class Stored:
    """Is pickled as a storage of so many numbers."""

    def __init__(self, num_stored, key="0"):
        self.id = (*STORAGE[:2], key, STORAGE[3], num_stored)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.id if isinstance(value, Stored) else None


def tensor(shape, strides, first=0, stored=1, key="0"):
    return Call(
        torch._utils._rebuild_tensor_v2, Stored(stored, key), first, shape, strides, False, collections.OrderedDict()
    )


def pickled(value):
    buffer = io.BytesIO()
    Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()


def torch_zip(path, value, numbers=bytes(4), **entries):
    data = value if isinstance(value, bytes) else pickled(value)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"data.pkl": data, "data/0": numbers, "version": b"3", **entries}.items():
            archive.writestr(f"w/{name}", content)
    return path


DOUBLED = b"\x80\2}q\1K\1q\0" + 40 * b"h\0h\0\x86q\0"
"""Begins a pickle: a dict, and a tuple of two tuples of two …, which takes 2^40 steps to hash or to print."""


HUGE = 1 << 31
HOSTILE = {
    "stride 0": {"w": tensor((HUGE,), (0,))},
    "a stride that overlaps": {"w": tensor((1 << 15, 1 << 15), (1, 1), stored=1 << 16)},
    "more than the storage": {"w": tensor((HUGE,), (1,))},
    "a storage of gigabytes": {"w": tensor((HUGE,), (1,), stored=HUGE)},
    "a first number far away": {"w": tensor((1,), (1,), first=HUGE)},
    "no such storage": {"w": tensor((1,), (1,), key="7")},
    "numbers below 0": {"w": tensor((-1,), (1,))},
    "sizes without end": {"w": tensor((1 << 70,), (1,))},
    "a tensor that is called for": {"w": Call(torch.Tensor, HUGE)},
    "a tensor that is called for elsewhere": {"w": tensor((1,), (1,)), "x": [Call(torch.Tensor, HUGE)]},
    "bytes that are called for": {"w": Call(bytearray, 8 * HUGE)},
    "a quantised tensor": {
        "w": Call(torch._utils._rebuild_qtensor, Stored(1), 0, (HUGE,), (0,), (1, 1.0, 0), False, {})
    },
    "one of ever more axes": {"w": tensor((1,) * 100_000, (1,) * 100_000)},
    "a key of a million keys": DOUBLED + b"h\1h\0K\1s.",
    "a state of nothing but steps": b"\x80\2]" + b"]0" * 3_000_000 + b".",
    "a description of gigabytes": b"\x80\2" + b"}" * (16 << 20) + b".",
    "a text of gigabytes": b"\x80\2X\xff\xff\xff\x7f.",
    "marks without end": b"\x80\2" + b"(" * 1_900_000 + b".",
    "a value of a million values": b"\x80\2]q\1" + 40 * b"h\1h\1\x86q\1" + b"}U\1wh\1s.",
    "a pickle that ends early": pickled({"w": 1})[:-3],
}


def read_with_little(path, folder):
    """The error, or what came, of a process that may take :data:`MEMORY` more than it has when it opens the file."""
    code = f"""
import resource, sys
from vjepa_fer.encoder.loading.slim import slim_checkpoint
from vjepa_fer.errors import CheckpointError
from pathlib import Path
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + {MEMORY}, taken + {MEMORY}))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 24, 1 << 24))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in map(Path, sys.argv[2:]):
    try:
        slim_checkpoint(path, Path(sys.argv[1]) / f"{{path.stem}}.safetensors", state_key="file")
        print(path.name, "written")
    except CheckpointError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", code, str(folder), *map(str, path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *lines, kilobytes = done.stdout.splitlines()
    return lines, int(kilobytes) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on memory as Linux has it")
def test_no_file_takes_memory_or_disk_beyond_its_size(tmp_path):
    made = {name: torch_zip(tmp_path / f"{number}.pt", value) for number, (name, value) in enumerate(HOSTILE.items())}
    lines, taken = read_with_little(made.values(), tmp_path)
    for (name, path), line in zip(made.items(), lines, strict=True):
        assert line.startswith(f"{path}: "), (name, line)
    assert not list(tmp_path.glob("*.safetensors"))
    assert taken < 600 << 20


# --- what it costs to hold


def test_a_file_that_shares_its_numbers_fills_no_disk(tmp_path):
    shared = {f"w{n}": tensor((1000,), (1,), stored=1000) for n in range(100)}
    torch_zip(tmp_path / "w.pt", shared, bytes(4000))
    with pytest.raises(
        CheckpointError, match=r"w\.pt: its tensors share their numbers and have 400,000 bytes, the file"
    ):
        slim_checkpoint(tmp_path / "w.pt", tmp_path / "out.safetensors", state_key=WHOLE_FILE)
    tied = {"a": torch.ones(1000), "epoch": torch.ones(1)}
    torch.save(tied | {"b": tied["a"]}, tmp_path / "tied.pt")
    assert len(read_state(tmp_path / "tied.pt", state_key=WHOLE_FILE)) == 3


def test_a_slim_file_that_has_no_room_is_not_begun(tmp_path, monkeypatch):
    torch.save({"w": torch.ones(1000)}, tmp_path / "w.pt")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=4000))
    with pytest.raises(CheckpointError, match=r"out: needs 4,\d\d\d bytes, but the disk has only 4,000 free"):
        slim_checkpoint(tmp_path / "w.pt", tmp_path / "out", state_key=WHOLE_FILE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda head, data: (1 << 62).to_bytes(8, "little") + head + data, "truncated or damaged safetensors"),
        (lambda head, data: struct.pack("<Q", 9 << 20) + head.ljust(9 << 20) + data, "its head has 9,437,184 bytes"),
        (lambda head, data: _headed(head.replace(b"[0,40]", b"[0,80]")) + data, "truncated or damaged"),
        (lambda head, data: _headed(head.replace(b"[10]", b"[1000000000000]")) + data, "truncated or damaged"),
        (lambda head, data: _headed(head.replace(b"[10]", b"[4294967296,4294967296,10]")) + data, "truncated or damaged"),
        (lambda head, data: _headed(head[:-1] + b"," + head[1:].replace(b'"w"', b'"x"')) + data, "truncated or damaged"),
    ],
    ids=["giant head", "large head", "outside", "larger than its bytes", "overflow", "overlap"],
)  # fmt: skip
def test_a_safetensors_file_is_not_believed(tmp_path, change, message):
    head = json.dumps({"w": {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]}}, separators=(",", ":")).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(_headed(head) + bytes(40))
    assert read_state(path, state_key=WHOLE_FILE)["w"].shape == (10,)
    path.write_bytes(change(head, bytes(40)))
    with pytest.raises(CheckpointError, match=message):
        slim_checkpoint(path, tmp_path / "out", state_key=WHOLE_FILE)


def _headed(head):
    return len(head).to_bytes(8, "little") + head


# --- archives


def test_a_directory_is_not_believed(tmp_path):
    path = torch_zip(tmp_path / "w.pt", {"w": tensor((2,), (1,), stored=2)}, bytes(8))
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("w/data/0").header_offset
    path.write_bytes(whole[:place] + b"XX" + whole[place + 2 :])
    with pytest.raises(CheckpointError, match=r"w\.pt: its entry 'w/data/0' is not where its directory says"):
        read_state(path, state_key=WHOLE_FILE)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_stands_twice_is_refused(tmp_path):
    path = torch_zip(tmp_path / "w.pt", {})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("w/data.pkl", b"\x80\2}.")
    with pytest.raises(CheckpointError, match="an entry stands twice in it"):
        read_state(path, state_key=WHOLE_FILE)


def test_a_directory_of_many_entries_is_not_read(tmp_path):
    names = {f"{number:0200d}": b"" for number in range(40_000)}
    with pytest.raises(CheckpointError, match=r"w\.pt: truncated or damaged"):
        read_state(torch_zip(tmp_path / "w.pt", {}, **names), state_key=WHOLE_FILE)


def test_numbers_in_another_order_are_refused(tmp_path):
    other = b"big" if sys.byteorder == "little" else b"little"
    with pytest.raises(CheckpointError, match="bytes in another order than this machine's"):
        read_state(torch_zip(tmp_path / "w.pt", {"w": tensor((1,), (1,))}, byteorder=other), state_key=WHOLE_FILE)


# --- what is right is read as torch reads it


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_those_that_torch_reads(tmp_path, dtype, protocol):
    base = torch.randn(4, 6, 5).to(dtype)
    state = {
        "whole": base,
        "turned": base.permute(2, 0, 1),
        "part": base[1:3, ::2],
        "one": torch.tensor(3.0, dtype=dtype),
    }
    state |= {"none": base[:0], "parameter": torch.nn.Parameter(base.clone()), "module.again": base}
    torch.save(collections.OrderedDict(state), tmp_path / "w.pt", pickle_protocol=protocol)
    read = read_state(tmp_path / "w.pt", state_key=WHOLE_FILE)
    wanted = {name.removeprefix("module."): value for name, value in state.items()}
    assert read.keys() == wanted.keys()
    for name, value in wanted.items():
        assert read[name].dtype == dtype
        assert torch.equal(read[name], value)
        assert not read[name].requires_grad


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 6)), max_size=3), st.integers(0, 5), st.integers(0, 40))
def test_what_lies_inside_once_is_found_out_as_by_counting(axes, first, num_stored):
    shape, strides = tuple(size for size, _ in axes), tuple(stride for _, stride in axes)
    stored = StoredTensor(
        dtype=torch.float32, key="0", num_stored=num_stored, first=first, shape=shape, strides=strides
    )
    places = [first + sum(map(operator.mul, place, strides)) for place in itertools.product(*map(range, shape))]
    assert stored.is_inside == (max(places) < num_stored)
    if len(set(places)) < len(places):
        assert stored.repeats
    if list(strides) == sorted(strides, reverse=True) and len(set(places)) == len(places) and len(shape) < 2:
        assert not stored.repeats


# --- pickles

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN, st.integers(4, 5) | st.just(3))
def test_plain_values_are_those_that_python_reads(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol=protocol), is_expected=lambda name: False) == value


def test_a_call_is_described_and_never_made(tmp_path):
    data = pickled({"a": Call(os.mkdir, str(tmp_path / "made")), "b": Stored(3), "c": os.mkdir})
    value = read_pickle(data, is_expected=lambda name: name.endswith((".mkdir", "Storage")))
    assert value["a"] == Called(value["c"].name, (str(tmp_path / "made"),))
    assert isinstance(value["c"], Named)
    assert value["b"] == Outside(("storage", Named("torch.FloatStorage"), "0", "cpu", 3))
    assert not (tmp_path / "made").exists()
    with pytest.raises(ForeignObjectError, match=r"mkdir"):
        read_pickle(data, is_expected=lambda name: False)


@given(st.binary(max_size=200), st.integers(0, 250))
def test_no_bytes_do_anything_but_give_a_value_or_an_error(extra, place):
    data = pickle.dumps({"a": [1, (2.5, None)], "b": collections.OrderedDict(c=b"d")}, protocol=2)
    with contextlib.suppress(ValueError):
        read_pickle(data[:place] + extra + data[place + len(extra) :], is_expected=lambda name: True)
