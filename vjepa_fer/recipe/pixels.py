"""How a clip becomes pixels, as values: which frames make a window, and what is done to each frame."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from vjepa_fer.recipe.bounds import check_most, take_fields
from vjepa_fer.recipe.checks import check, check_choice, shown
from vjepa_fer.recipe.perturbations import Perturbation

Mode = Literal["segments", "sliding"]
Rule = Literal["corrected", "reference"]
FaceDetector = Literal["yunet-2023mar"]
Interpolation = Literal["bilinear", "antialiased", "antialiased-bicubic"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Which frames of a clip make its windows.

    Attributes
    ----------
    mode : {"segments", "sliding"}
        `num_segments` windows spread over the clip, or a window every `stride` frames.
    rule : {"corrected", "reference"}
        Ours (frames exactly `frame_step` apart, the last window reaches the last frame), or the arithmetic of V-JEPA's
        published evaluation code, kept bit for bit for comparison, but for chance: in clips longer than a segment's window each,
        that code shifts the windows at random in its validation too, since its ``random_clip_sampling`` is never off there. "reference"
        starts them where the code does without it (16 frames 4 apart, eight segments: clips of 520 frames and more); no
        deterministic rule is bit-equal there.
    frames_per_window, frame_step, num_segments, stride : int
        Frames that enter the encoder; distance between two of them; windows in "segments" mode; distance between two
        windows' starts in "sliding" mode. Two segments of 61 frames cover clips of up to 122 frames, which is nearly
        every clip of RAVDESS and CREMA-D.
    frames_per_second : float, optional
        Frames are taken at so many moments a second, by when each is shown, whatever the clip's rate; `stride` then counts
        moments. In place of `frame_step`, which stays at its default.
    """

    mode: Mode = "segments"
    rule: Rule = "corrected"
    frames_per_window: int = 16
    frame_step: int = 4
    num_segments: int = 2
    stride: int = 1
    frames_per_second: float | None = None

    def __post_init__(self) -> None:
        check_choice("mode", self.mode, Mode)
        check_choice("rule", self.rule, Rule)
        take_fields(self)
        self._check_rate()
        made_of = f"num_segments {self.num_segments} of frames_per_window {self.frames_per_window}"
        check_most("frames of all windows of a clip", self.num_segments * self.frames_per_window, made_of)

    def _check_rate(self) -> None:
        rate, step = self.frames_per_second, type(self).frame_step
        if rate is None:
            return
        check(
            self.rule == "corrected",
            f"rule {self.rule}: V-JEPA's evaluation counts frames; it has no frames_per_second",
        )
        message = (
            f"frame_step {self.frame_step} and frames_per_second {rate:g} both say how far frames are apart: give one"
        )
        check(self.frame_step == step, message)

    @property
    def frames_of_whole(self) -> int:
        """Real frames of a window that the clip's end does not cut; V-JEPA's own arithmetic doubles the last one."""
        return self.frames_per_window - (self.rule == "reference")


@dataclass(frozen=True, kw_only=True)
class FaceCrop:
    """Frames are cut to a square round the clip's largest face before they are resized; see :mod:`vjepa_fer.video.face_track`.

    Attributes
    ----------
    detector : {"yunet-2023mar"}
        Which weights find faces; their bytes are known by hash.
    margin : float
        Side of the square in units of the face's longer side, at least 1.
    smoothing_frames : int
        The square moves and grows with the mean over so many frames, centred.
    """

    detector: FaceDetector = "yunet-2023mar"
    margin: float = 1.6
    smoothing_frames: int = 15

    def __post_init__(self) -> None:
        check_choice("face_crop.detector", self.detector, FaceDetector)
        take_fields(self, "face_crop.")


@dataclass(frozen=True, kw_only=True)
class Processor:
    """What another library's processor does to a frame that V-JEPA's evaluation does otherwise.

    Attributes
    ----------
    resize : tuple of int
        One number: the short side becomes so long, and the centre is taken, with half a pixel to the left and up where it does not
        fall on one. Two: height and width, whatever the frame's shape. Of one view; more views are V-JEPA's.
    rescale : float
        What a byte is divided by.
    offset : float
        What is subtracted then, before `mean`.
    """

    resize: tuple[int, ...]
    rescale: float = 255.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        take_fields(self, "processor.")


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a decoded frame becomes pixels of the encoder's input.

    Attributes
    ----------
    crop_size : int
        Side of the square that enters the encoder, in pixels; its height where `crop_width` is given.
    crop_width : int, optional
        Width of an oblong: the frame is resized to cover ``256 / 224`` of it, and its centre is taken. One view only.
    num_views : int
        1: short side resized to ``int(crop_size * 256 / 224)``, centre crop. More: short side resized to `crop_size`,
        that many squares spread along the long side (V-JEPA's two evaluation transforms).
    interpolation : {"bilinear", "antialiased", "antialiased-bicubic"}
        Two-tap bilinear on uint8 without antialiasing, as V-JEPA's evaluation does; or with it, as Hugging Face's
        ``VJEPA2VideoProcessor`` does, whose pixels these are to one grey level, and Pillow, whose pixels they are; or bicubic likewise.
    mean, std : tuple of float
        Per RGB channel, of pixels scaled to [0, 1].
    face_crop : FaceCrop, optional
        A square that follows the face is resized to `crop_size`, in place of the whole frame's short side; one view only.
    square_pixels : bool
        Films whose pixels are wider or narrower than high are scaled to square ones first; else they are taken as stored.
    processor : Processor, optional
        Another library's, in place of V-JEPA's evaluation.
    perturb : Perturbation, optional
        Frames (of a face crop: the square) are made worse in a known way before they are resized; None leaves them as they are.
    """

    crop_size: int = 224
    num_views: int = 1
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    face_crop: FaceCrop | None = None
    crop_width: int | None = None
    square_pixels: bool = False
    processor: Processor | None = None
    perturb: Perturbation | None = None

    def __post_init__(self) -> None:
        take_fields(self)
        self._check_processor()
        self._check_oblong()
        self._check_face_crop()
        self._check_perturb()
        check_choice("interpolation", self.interpolation, Interpolation)

    def _check_oblong(self) -> None:
        if self.crop_width is None:
            return
        if self.crop_width == self.crop_size:  # a square has one spelling, and one fingerprint
            object.__setattr__(self, "crop_width", None)
            return
        check(self.num_views == 1, f"num_views {self.num_views}: an oblong input has one view, the centre")

    def _check_face_crop(self) -> None:
        if isinstance(self.face_crop, dict):  # from JSON
            object.__setattr__(self, "face_crop", FaceCrop(**self.face_crop))
        crop = self.face_crop
        if crop is None:
            return
        check(isinstance(crop, FaceCrop), f"face_crop {shown(crop)} is not a FaceCrop")
        check(self.num_views == 1, f"num_views {self.num_views}: the square round a face is one view")
        check(self.crop_width is None, f"crop_width {self.crop_width}: the square round a face makes no oblong")

    def _check_processor(self) -> None:
        if isinstance(self.processor, dict):  # from JSON
            object.__setattr__(self, "processor", Processor(**self.processor))
        processor = self.processor
        if processor is None:
            return
        check(isinstance(processor, Processor), f"processor {shown(processor)} is not a Processor")
        sides = processor.resize if len(processor.resize) == 2 else processor.resize * 2
        room = all(side >= crop for side, crop in zip(sides, self.crop_shape, strict=True))
        check(room, f"processor.resize {processor.resize} leaves no room for a crop of {self.crop_shape}")

    def asked(
        self,
        *,
        num_views: int,
        interpolation: Interpolation | None,
        face_crop: FaceCrop | None,
        square_pixels: bool,
        perturb: Perturbation | None,
    ) -> Preprocessing:
        """The same with what an extraction asks for; its own interpolation where None is asked for.

        Raises
        ------
        RecipeError
            Another interpolation than that of the encoder's own processor.
        """
        chosen = interpolation or self.interpolation
        check(
            self.processor is None or chosen == self.interpolation,
            f"interpolation {chosen}: the encoder's own processor says {self.interpolation}; leave it out",
        )
        return dataclasses.replace(
            self,
            num_views=num_views,
            interpolation=chosen,
            face_crop=face_crop,
            square_pixels=square_pixels,
            perturb=perturb,
        )

    def _check_perturb(self) -> None:
        if isinstance(self.perturb, dict):  # from JSON
            object.__setattr__(self, "perturb", Perturbation(**self.perturb))
        asked = self.perturb
        if asked is None:
            return
        check(isinstance(asked, Perturbation), f"perturb {shown(asked)} is not a Perturbation")
        if not asked.steps:  # frames as they are have one spelling, and one fingerprint
            object.__setattr__(self, "perturb", None)

    @property
    def crop_shape(self) -> tuple[int, int]:
        """Height and width of what enters the encoder, in pixels."""
        return self.crop_size, self.crop_width or self.crop_size


def parse_resolution(text: str) -> tuple[int, int]:
    """Height and width in pixels: ``"384"`` → ``(384, 384)``, ``"288x384"`` → ``(288, 384)``.

    Raises
    ------
    RecipeError
        Neither one whole number nor two with an x between them.
    """
    sides = text.split("x")
    plain = len(sides) <= 2 and all(side.isascii() and side.isdigit() and len(side) < 6 for side in sides)
    check(plain, f"resolution {text!r} is neither a side, such as 384, nor HEIGHTxWIDTH, such as 288x384")
    return int(sides[0]), int(sides[-1])
