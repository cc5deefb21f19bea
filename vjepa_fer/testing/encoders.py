"""An encoder of a plug-in goes in: it is loaded, sent a few small windows, and held to what extraction relies on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vjepa_fer.errors import PluginError
from vjepa_fer.extras import require_extra
from vjepa_fer.testing.promises import all_kept, expect, in_hand

if TYPE_CHECKING:
    from torch import Tensor

CELLS = 8
"""Of the grid, that are painted one by one."""


def check_encoder(encoder: str | type) -> tuple[str, ...]:
    """Hold an encoder to what every encoder promises.

    Parameters
    ----------
    encoder : str or type
        The name of one that is installed, ours or a plug-in's (ours with random weights); or a class in hand.

    Returns
    -------
    tuple of str
        The promises that were tried, all kept.

    Raises
    ------
    BehaviourError
        Some are broken: each is named, with what was done instead.
    PluginError, RecipeError
        It cannot be loaded at all, or lies on the very first window.
    """
    require_extra("extract", ("torch",), "checking an encoder")
    tried = _Tried(encoder)
    promises = {
        "other sizes of whole patches have their own grid, or are refused": tried.other_sizes,
        "black, white and noise give finite tokens": tried.extremes,
        "the same window gives the same bits, whatever came between": tried.determinism,
        "made anew it holds the same weights and says the same": tried.made_anew,
        "a window's tokens do not depend on the others in its batch": tried.batches,
        "tokens lie where the grid says: time slowest, columns fastest": tried.places,
        "neither the pixels nor the weights are changed by a call": tried.changes_nothing,
        "every layer can be asked for, and the last is the plain answer": tried.layers,
    }
    return all_kept(tried.who, promises)


class _Tried:
    """An encoder at hand, and windows for it."""

    def __init__(self, encoder: str | type) -> None:
        import torch

        self.encoder = encoder
        self.loaded = self._load()
        spec = self.loaded.spec
        self.who = f"encoder {spec.name}"
        self.frames, self.side = spec.num_frames, self.loaded.preprocessing.crop_size
        self.generator = torch.Generator().manual_seed(0)

    def _load(self) -> Any:
        from vjepa_fer.encoder import load_encoder

        if not isinstance(self.encoder, str):
            return _loaded_in_hand(self.encoder)
        from vjepa_fer.encoder.loading.registry import named_encoder

        has_random = named_encoder(self.encoder).config["family"] not in ("pixels", "plugin")
        return load_encoder(self.encoder, weights="random:0" if has_random else None)

    def noise(self, count: int, frames: int | None = None, height: int = 0, width: int = 0) -> Tensor:
        """Windows of random pixels, normalised."""
        import torch

        shape = (count, 3, frames or self.frames, height or self.side, width or self.side)
        return torch.randn(shape, generator=self.generator)

    def other_sizes(self) -> None:
        spec = self.loaded.spec
        patch, side = spec.patch_size, self.side
        for height, width, frames in (
            (side + patch, side, self.frames),
            (side, max(side - patch, patch), self.frames),
            (side, side, spec.tubelet_size),
        ):
            grid = frames // spec.tubelet_size * (height // patch) * (width // patch)
            try:
                tokens = self.loaded.encode(self.noise(1, frames, height, width))
            except PluginError as error:
                expect("a grid of" not in str(error), str(error))  # another refusal is its right: nothing is written
                continue
            expect(
                tokens.shape[1] == grid,
                f"{tokens.shape[1]} tokens of {frames} frames of {height} × {width}, not {grid}",
            )

    def extremes(self) -> None:
        window = self.noise(1)
        for pixels in (window * 0 - 2.2, window * 0 + 2.7, window):
            expect(bool(self.loaded.encode(pixels).isfinite().all()), "NaN or infinite")

    def determinism(self) -> None:
        import torch

        window = self.noise(1)
        first = self.loaded.encode(window)
        self.loaded.encode(self.noise(2))
        expect(torch.equal(first, self.loaded.encode(window)), "the second answer differs from the first")

    def made_anew(self) -> None:
        import torch

        window, again = self.noise(1), self._load()
        expect(
            again.spec == self.loaded.spec, f"weights {again.spec.weights[:16]}, not {self.loaded.spec.weights[:16]}"
        )
        expect(torch.equal(again.encode(window), self.loaded.encode(window)), "another answer for the same window")

    def batches(self) -> None:
        import torch

        windows = self.noise(3)
        together = self.loaded.encode(windows)
        alone = torch.cat([self.loaded.encode(window[None]) for window in windows])
        apart = float((together - alone).abs().max() / alone.abs().max().clamp(min=1e-12))
        expect(apart < 1e-4, f"up to {apart:.1e} of the largest number apart from each window alone")

    def places(self) -> None:
        """Paint one cell at a time: its own token must be among those that change most, in the middle of some cells."""
        import torch

        spec, window = self.loaded.spec, self.noise(1)
        steps, rows = spec.num_frames // spec.tubelet_size, self.side // spec.patch_size
        total, plain = steps * rows * rows, self.loaded.encode(window)
        ranks = []
        for number in torch.randperm(total, generator=self.generator)[:CELLS].tolist():
            time, row, column = number // rows**2, number // rows % rows, number % rows
            painted, (t, p) = window.clone(), (spec.tubelet_size, spec.patch_size)
            painted[:, :, time * t : (time + 1) * t, row * p : (row + 1) * p, column * p : (column + 1) * p] += 3
            change = (self.loaded.encode(painted) - plain)[0].norm(dim=1)
            expect(
                float(change[number]) > 0,
                f"the token of time {time}, row {row}, column {column} knows nothing of its cell",
            )
            ranks.append(float((change > change[number]).float().mean()))
        middle = sorted(ranks)[len(ranks) // 2]
        expect(
            middle < 0.5, f"{middle:.0%} of the other tokens change more than a cell's own: is the grid another one?"
        )

    def changes_nothing(self) -> None:
        import torch

        window, held = self.noise(1), {name: t.clone() for name, t in self.loaded.module.state_dict().items()}
        kept = window.clone()
        tokens = self.loaded.encode(window)
        expect(torch.equal(window, kept), "the pixels that it was given are others afterwards")
        moved = [name for name, t in self.loaded.module.state_dict().items() if not torch.equal(t, held[name])]
        expect(not moved, f"{moved[:1]} is changed by a call")
        expect(not tokens.requires_grad, "tokens ask for a gradient")

    def layers(self) -> None:
        import torch

        spec, window = self.loaded.spec, self.noise(1)
        answers = dict(self.loaded.encode_layers(window, list(spec.layers_with_norm)))
        last = spec.layers_with_norm[-1]
        expect(torch.allclose(answers[last], self.loaded.encode(window)), "the last layer's tokens are others")
        expect(len(answers) == len(spec.layers_with_norm), f"{len(answers)} of {len(spec.layers_with_norm)} came")


def _loaded_in_hand(cls: type) -> Any:
    import torch

    from vjepa_fer.encoder import LoadedEncoder
    from vjepa_fer.encoder.loading.plugged import open_plugged
    from vjepa_fer.encoder.loading.plugin_class import plugged_encoder
    from vjepa_fer.recipe import Preprocessing

    known, place = plugged_encoder(in_hand("encoders", cls)), torch.device("cpu")
    side = known.config["img_size"]
    spec, module = open_plugged(known, None, None, place, torch.float32, (side, side))
    pixels = Preprocessing(crop_size=side)
    return LoadedEncoder(module=module, spec=spec, preprocessing=pixels, precision="float32", device=place)
