"""A folder goes in, a small labelled set of drawn faces comes out as real video files: something to try everything on.

    subject → face (width, skin, eyes, hair)      expression → brows, lids, mouth      frame → how far the expression is

The faces are caricatures. They show that the path from video to table works, and nothing about V-JEPA.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vjepa_fer.manifest import Clip, Manifest


@dataclass(frozen=True)
class DemoSettings:
    """How large the drawn set is."""

    num_subjects: int = 8
    num_repetitions: int = 2
    num_frames: int = 24
    side: int = 96
    seed: int = 0


@dataclass(frozen=True)
class Expression:
    """How a face departs from neutral; every value is 0 at rest."""

    smile: float = 0.0
    """Corners of the mouth, up."""
    mouth_open: float = 0.0
    brow_raise: float = 0.0
    brow_slope: float = 0.0
    """Inner ends of the brows, up."""
    lids: float = 0.0
    """Eyes wider."""
    nose_wrinkle: float = 0.0


WALL = (0.6, 0.62, 0.65)
"""One background for all: to an untrained encoder another wall would be a larger change than any smile."""

EXPRESSIONS = {
    "angry": Expression(smile=-0.35, brow_raise=-0.7, brow_slope=-0.9, lids=-0.3),
    "disgust": Expression(smile=-0.6, brow_raise=-0.4, lids=-0.6, nose_wrinkle=1.0, mouth_open=0.15),
    "fearful": Expression(smile=-0.2, mouth_open=0.45, brow_raise=0.6, brow_slope=0.8, lids=0.8),
    "happy": Expression(smile=1.0, mouth_open=0.25, lids=-0.35),
    "neutral": Expression(),
    "sad": Expression(smile=-0.8, brow_slope=0.9, lids=-0.4),
}


@dataclass(frozen=True)
class Face:
    """What stays the same in all clips of one subject; lengths in units of half the picture's side."""

    width: float
    eye_gap: float
    brow_weight: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]

    @classmethod
    def random(cls, rng: np.random.Generator) -> Face:
        """A face drawn from `rng`."""
        tone = rng.uniform(0.45, 0.95)
        skin = (tone, tone * rng.uniform(0.72, 0.82), tone * rng.uniform(0.55, 0.66))
        hair = tuple(rng.uniform(0.05, 0.45, 3))
        return cls(rng.uniform(0.5, 0.62), rng.uniform(0.2, 0.27), rng.uniform(0.03, 0.055), skin, hair)


def write_demo_set(folder: Path, settings: DemoSettings | None = None) -> Manifest:
    """Draw every subject in every expression, write MP4 files (MPEG-4, 25 frames a second), and list them.

    Returns
    -------
    Manifest
        ``num_subjects × 6 expressions × num_repetitions`` clips with absolute paths, also written to
        ``folder/manifest.csv``.
    """
    settings = settings or DemoSettings()
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(settings.seed)
    clips = []
    for subject in range(1, settings.num_subjects + 1):
        face = Face.random(rng)
        for label, expression in EXPRESSIONS.items():
            for repetition in range(1, settings.num_repetitions + 1):
                clip_id = f"{subject:02d}-{label}-{repetition}"
                path = folder / "videos" / f"{clip_id}.mp4"
                write_film(path, draw_clip(face, expression, settings, rng))
                clips.append(
                    Clip(clip_id, str(path.resolve()), label, f"{subject:02d}", {"repetition": str(repetition)})
                )
    return Manifest(clips=tuple(clips), columns=("clip_id", "path", "label", "subject", "repetition"), source=None)


def draw_clip(face: Face, expression: Expression, settings: DemoSettings, rng: np.random.Generator) -> np.ndarray:
    """One clip, rest → apex → rest: uint8 (num_frames, side, side, 3) RGB, with a little head motion and noise."""
    strength = rng.uniform(0.7, 1.1)
    drift = rng.normal(0, 0.03, 2)
    tremor = rng.normal(0, 0.004, (settings.num_frames, 2)).cumsum(0)
    progress = np.sin(np.linspace(0.15, 0.85, settings.num_frames) * np.pi)
    frames = [
        draw_face(face, expression, amount=strength * p, shift=drift + t, side=settings.side)
        for p, t in zip(progress, tremor, strict=True)
    ]
    noisy = np.stack(frames) + rng.normal(0, 0.015, (settings.num_frames, settings.side, settings.side, 1))
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8)


def draw_face(face: Face, expression: Expression, *, amount: float, shift: np.ndarray, side: int) -> np.ndarray:
    """One picture: float (side, side, 3) RGB in [0, 1]; `amount` 0 is the neutral face, 1 the full expression."""
    canvas = _Canvas(side, shift)
    e, dark, white = expression, (0.08, 0.05, 0.05), (0.95, 0.95, 0.95)
    canvas.ellipse(face.hair, 0, -0.12, face.width * 1.12, 0.82)
    canvas.ellipse(face.skin, 0, 0.05, face.width, 0.76)
    for sign in (-1, 1):
        eye_x, open_eye = sign * face.eye_gap, 0.075 * (1 + 0.7 * amount * e.lids)
        canvas.ellipse(white, eye_x, -0.1, 0.13, max(open_eye, 0.015))
        canvas.ellipse(dark, eye_x, -0.1, 0.05, max(min(open_eye, 0.05), 0.01))
        inner = (canvas.x - eye_x) * -sign  # grows towards the nose
        brow = -0.29 - amount * (0.09 * e.brow_raise + 0.5 * e.brow_slope * inner)
        canvas.band(face.hair, eye_x, 0.15, brow, face.brow_weight)
    shade = (face.skin[0] * 0.8, face.skin[1] * 0.8, face.skin[2] * 0.8)
    canvas.ellipse(shade, 0, 0.12, 0.06, 0.1)
    for line in (-0.02, 0.05):
        canvas.band(dark, 0, 0.1, np.full(side, line), 0.012 * amount * e.nose_wrinkle)
    curve = 0.42 + amount * e.smile * (0.09 - 2.2 * canvas.x**2)
    canvas.band((0.5, 0.12, 0.14), 0, 0.22, curve, 0.025 + 0.13 * amount * e.mouth_open)
    return canvas.picture


Colour = tuple[float, float, float]


class _Canvas:
    """A wall to paint on: `picture` float (side, side, 3) at places `x` and `y`, float (side,), in units of half the side.

    Shapes have a soft edge, and cover what is inside them; pixels that one does not reach are not looked at.
    """

    def __init__(self, side: int, shift: np.ndarray) -> None:
        places = np.mgrid[-1 : 1 : side * 1j]
        self.x, self.y, self.soft = places - shift[0], places - shift[1], 2.5 / side
        self.picture = np.broadcast_to(np.array(WALL), (side, side, 3)).copy()

    def ellipse(self, colour: Colour, cx: float, cy: float, rx: float, ry: float) -> None:
        edge = self.soft * max(rx, ry) / min(rx, ry)
        x, y = self.x - cx, self.y - cy
        rows, columns = np.flatnonzero(np.abs(y) < ry + edge), np.flatnonzero(np.abs(x) < rx + edge)
        distance = (np.hypot(x[columns] / rx, y[rows, None] / ry) - 1) * min(rx, ry)
        self._paint(colour, rows, columns, distance)

    def band(self, colour: Colour, cx: float, half_width: float, middle: np.ndarray, half_height: float) -> None:
        """About a line whose y is `middle`, float (side,), at each x."""
        x, away = np.abs(self.x - cx), np.abs(self.y[:, None] - middle)
        columns = np.flatnonzero(x < half_width + self.soft)
        rows = np.flatnonzero((away[:, columns] < half_height + self.soft).any(axis=1))
        distance = np.maximum(away[np.ix_(rows, columns)] - half_height, x[columns] - half_width)
        self._paint(colour, rows, columns, distance)

    def _paint(self, colour: Colour, rows: np.ndarray, columns: np.ndarray, distance: np.ndarray) -> None:
        if not distance.size:  # a shape outside of the picture
            return
        there = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        cover = np.clip(0.5 - distance / self.soft, 0, 1)[..., None]
        self.picture[there] = self.picture[there] * (1 - cover) + np.array(colour) * cover


def write_film(path: Path, frames: np.ndarray) -> None:
    """Write frames (T, H, W, 3) uint8, of even sides, as MPEG-4, 25 a second."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 800_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
