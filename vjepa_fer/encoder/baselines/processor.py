"""A processor's file goes in, our own preprocessing with its numbers comes out: the frames are decoded, resized and cut by us.

The library's processors come in two dresses. Those of Pillow are met to the bit, but that Pillow 13 resizes some frames that are higher than wide
by rows first, a grey level apart; those of torchvision differ from them by a grey level at most, and DINOv3's resizes what it has scaled to
[0, 1] already, and so does not round to grey levels between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vjepa_fer.doors import Given, not_one_of, read_object
from vjepa_fer.encoder.baselines.source import PROCESSORS
from vjepa_fer.errors import CheckpointError
from vjepa_fer.recipe import IMAGENET_MEAN, IMAGENET_STD, Interpolation, Preprocessing, Processor, shown

_LARGEST = 1 << 20  # bytes
_HALF = (0.5, 0.5, 0.5)
_CLIP = {
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
    "resample": 3,
}
_CENTRE = {"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": True, "default_to_square": False}
_WHOLE = {"size": {"height": 224, "width": 224}, "crop_size": None, "do_center_crop": False, "default_to_square": True}
_SCALED = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "offset": False}
_EVEN = {"image_mean": _HALF, "image_std": _HALF, "resample": 2}
_IMAGENET = {"image_mean": IMAGENET_MEAN, "image_std": IMAGENET_STD, "resample": 2}

DEFAULTS: dict[str, dict[str, Any]] = {
    "VideoMAE": {**_SCALED, **_CENTRE, **_EVEN},
    "Timesformer": {**_SCALED, **_CENTRE, **_IMAGENET},
    "Vivit": {
        **_SCALED,
        **_CENTRE,
        **_EVEN,
        "size": {"shortest_edge": 256},
        "rescale_factor": 1 / 127.5,
        "offset": True,
    },
    "LlavaOnevision": {**_SCALED, **_WHOLE, **_CLIP, "size": {"height": 384, "width": 384}, "default_to_square": False},
    "Bit": {**_SCALED, **_CENTRE, **_CLIP},
    "DINOv3ViT": {**_SCALED, **_WHOLE, **_IMAGENET},
    "CLIP": {**_SCALED, **_CENTRE, **_CLIP},
    "Siglip": {**_SCALED, **_WHOLE, **_EVEN, "resample": 3, "default_to_square": False},
    "ViT": {**_SCALED, **_WHOLE, **_EVEN},
    "Beit": {**_SCALED, **_WHOLE, **_EVEN, "resample": 3, "crop_size": 224},
}
"""What the library takes where a file is silent, by class of processor."""

_CLASS = re.compile(r"(\w+?)(?:ImageProcessor|FeatureExtractor|VideoProcessor)(?:Fast|Pil)?")
_CLASS_KEYS = ("video_processor_type", "image_processor_type", "feature_extractor_type")
_INTERPOLATIONS: dict[int, Interpolation] = {2: "antialiased", 3: "antialiased-bicubic"}
_READ = {*_SCALED, *_WHOLE, *_EVEN, *_CLASS_KEYS}
_NO_NUMBERS = {
    "processor_class",
    "do_convert_rgb",
    "do_sample_frames",
    "fps",
    "num_frames",
    "model_input_names",
    "data_format",
    "input_data_format",
    "return_tensors",
    "return_metadata",
    "device",
    "disable_grouping",
    "transformers_version",
}
"""Keys that change no pixel of a frame of ours: which frames make a window is our sampling's to say."""


def read_preprocessing(folder: Path) -> Preprocessing:
    """The preprocessing that the processor of a model's folder asks for.

    Raises
    ------
    CheckpointError
        No such file, a processor that is not known, one that makes frames of no one size, or a number that we cannot follow; the
        file and the key are named.
    """
    path = next((folder / name for name in PROCESSORS if (folder / name).is_file()), None)
    if path is None:
        raise CheckpointError(
            f"{folder}: no processor is beside the model: none of {', '.join(PROCESSORS)}; get it as well, since it says "
            "which pixels the model was trained on"
        )
    return _Reader(path, _own_part(read_object(path, error=CheckpointError, at_most=_LARGEST))).preprocessing()


def _own_part(found: Given) -> Mapping[str, Any]:
    """The numbers of a file; a ``processor_config.json`` has those of several, of which the pictures' count."""
    for name in ("video_processor", "image_processor"):
        if isinstance(found.values.get(name), dict):
            return dict(found.values[name])
    return found.values


class _Reader:
    """One processor's numbers, by key, with what the library takes where the file is silent."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        given = {key: value for key, value in values.items() if value is not None}
        self._check(("auto_map" not in given), "auto_map: a processor of its own code is not run")
        name = next((given[key] for key in _CLASS_KEYS if key in given), None)
        match = _CLASS.fullmatch(name) if isinstance(name, str) else None
        stem = "Timesformer" if match and match[1] == "TimesFormer" else match[1] if match else None
        if stem not in DEFAULTS:
            raise CheckpointError(f"{path}: {not_one_of('processor', name or 'none', DEFAULTS)}")
        self.values = DEFAULTS[stem] | given
        strange = [key for key in given if key not in _READ | _NO_NUMBERS and given[key] and not key.startswith("_")]
        self._check(not strange, f"{', '.join(map(shown, strange))}: not known, and so not followed")

    def preprocessing(self) -> Preprocessing:
        """Ours."""
        self._check(self.values["do_resize"] is True, "do_resize is off: frames of any size have no one grid")
        resize = self._resize()
        crop = self._crop(resize)
        side = min(resize) if len(resize) == 2 else resize[0]
        self._check(max(crop) <= max(resize) and min(crop) <= side, f"crop_size {crop} is larger than size {resize}")
        scaled = self.values["do_rescale"] is True
        normal = self.values["do_normalize"] is True
        resample = self.values["resample"]
        known = isinstance(resample, int) and resample in _INTERPOLATIONS
        self._check(known, f"resample {shown(resample)} is neither 2, bilinear, nor 3, bicubic")
        return Preprocessing(
            crop_size=crop[0],
            crop_width=crop[1],
            interpolation=_INTERPOLATIONS[resample],
            mean=self._three("image_mean") if normal else (0.0, 0.0, 0.0),
            std=self._three("image_std") if normal else (1.0, 1.0, 1.0),
            processor=Processor(
                resize=resize,
                rescale=_divisor(self._number("rescale_factor")) if scaled else 1.0,
                offset=float(bool(self.values["offset"])) if scaled else 0.0,
            ),
        )

    def _resize(self) -> tuple[int, ...]:
        size = self.values["size"]
        if isinstance(size, int):
            size = {"height": size, "width": size} if self.values["default_to_square"] else {"shortest_edge": size}
        sides = {key: value for key, value in size.items() if value is not None} if isinstance(size, dict) else {}
        if set(sides) == {"shortest_edge"}:
            return (self._whole("size", sides["shortest_edge"]),)
        self._check(
            set(sides) == {"height", "width"}, f"size {shown(size)} is neither a short side nor height and width"
        )
        return self._whole("size", sides["height"]), self._whole("size", sides["width"])

    def _crop(self, resize: tuple[int, ...]) -> tuple[int, int]:
        if self.values["do_center_crop"] is not True:
            self._check(len(resize) == 2, "frames keep their shape (no centre is cut), and so have no one grid")
            return resize[0], resize[1]
        size = self.values["crop_size"]
        sides = {"height": size, "width": size} if isinstance(size, int) else size
        shaped = isinstance(sides, dict) and {"height", "width"} <= set(sides)
        self._check(shaped, f"crop_size {shown(size)} has no height and width")
        return self._whole("crop_size", sides["height"]), self._whole("crop_size", sides["width"])

    def _whole(self, key: str, value: Any) -> int:
        good = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 4096
        self._check(good, f"{key} {shown(value)} is not a number of pixels")
        return int(value)

    def _number(self, key: str) -> float:
        value = self.values[key]
        good = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1e6
        self._check(good, f"{key} {shown(value)} is not a positive number")
        return float(value)

    def _three(self, key: str) -> tuple[float, float, float]:
        value = self.values[key]
        values = [value] * 3 if isinstance(value, int | float) else value
        good = isinstance(values, list | tuple) and len(values) == 3 and all(isinstance(v, int | float) for v in values)
        self._check(good, f"{key} {shown(value)} is not three numbers")
        return float(values[0]), float(values[1]), float(values[2])

    def _check(self, condition: bool, message: str) -> None:
        if not condition:
            raise CheckpointError(f"{self.path}: {message}")


def _divisor(factor: float) -> float:
    """What a byte is divided by: of 1/255, however it was rounded, exactly 255."""
    return round(1 / factor, 9)
