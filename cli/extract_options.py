"""The options of ``extract``, in the order of its help: how each is spelled, what it says, and how the shell completes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vjepa_fer.recipe import Interpolation, Mode, Rule, Storage, TokenDtype

from . import completion

PlaceArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[CACHE]",
        help="The cache folder, or an address; made if absent. Or give --into.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None,
    typer.Option(
        help="The encoder; `vjepa-fer models list` shows them. hf:FOLDER or hf:OWNER/NAME: any that transformers computes; "
        "pixels:8: mean colours on a grid, a control.",
        autocompletion=completion.one_of(completion.models),
        show_default=False,
    ),
]
IntoOption = Annotated[
    list[str] | None,
    typer.Option(
        "--into",
        metavar="CACHE=RECIPE.toml",
        help="In place of CACHE, several in one pass that decodes each clip once; the file holds --model and the other options of the "
        "recipe by name.",
        show_default=False,
    ),
]
WriteRecipeOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write the recipe's options as such a file, for --into and --config.",
        show_default=False,
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        help="The weights: a file, a folder or index of parts, or random:SEED, a control.", show_default=False
    ),
]
StateKeyOption = Annotated[
    str | None, typer.Option(help="Which state dict of the file.", show_default="the one of its family")
]
PrecisionOption = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    typer.Option(
        help="Of the encoder's matrix products; auto: bfloat16 on CUDA cards that have it (A100 and later), else float32."
    ),
]
LevelOption = Annotated[
    list[str] | None,
    typer.Option(
        help="What to store: mean, frames, grid:G, tokens, or cls, class and register tokens; may be repeated.",
        autocompletion=completion.one_of(completion.LEVELS),
        show_default=" ".join(Storage().levels),
    ),
]
LayersOption = Annotated[
    str | None,
    typer.Option(
        help="Levels after these encoder layers: 2,5,8,11, counted from 0, -1 the last; parts of the depth: 0.5,1.0; "
        "or hierarchical, V-JEPA 2.1's four.",
        show_default="the last",
    ),
]
TokenDtypeOption = Annotated[TokenDtype, typer.Option(help="Of the levels grid and tokens.")]
ModeOption = Annotated[Mode, typer.Option(help="Segments spread over the clip, or sliding windows.")]
RuleOption = Annotated[
    Rule, typer.Option(help="Our frame arithmetic, or that of V-JEPA's evaluation code, slips included.")
]
FramesOption = Annotated[int, typer.Option(min=1, help="Frames a window.")]
FrameStepOption = Annotated[int, typer.Option(min=1, help="Frames from one to the next.")]
FpsOption = Annotated[
    float | None,
    typer.Option(
        "--fps",
        help="Instead of --frame-step: frames a second, by when each is shown; right for clips of mixed or varying rates.",
        show_default=False,
    ),
]
WindowSecondsOption = Annotated[
    float | None,
    typer.Option(help="The same as a window's length: --fps is --frames over it.", show_default=False),
]
SegmentsOption = Annotated[int, typer.Option(min=1, help="Windows a clip (mode segments).")]
StrideOption = Annotated[
    int, typer.Option(min=1, help="Frames between windows (mode sliding); with --fps those taken.")
]
PictureFpsOption = Annotated[
    float | None,
    typer.Option(
        help="Pictures a second of clips that are folders of pictures, where the manifest has no column fps.",
        show_default=False,
    ),
]
ResolutionOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIDE|HEIGHTxWIDTH",
        help="Of the input in pixels; whole patches of 16.",
        show_default="as the encoder was trained",
    ),
]
ViewsOption = Annotated[int, typer.Option(min=1, help="Spatial crops a window: 1 is the centre.")]
FaceCropOption = Annotated[
    bool,
    typer.Option(
        "--face-crop",
        help="Cut frames to a square that follows the largest face, for wide shots; else the whole frame is used.",
    ),
]
SquarePixelsOption = Annotated[
    bool,
    typer.Option(
        "--square-pixels",
        help="Films whose pixels are wider or narrower than high are scaled to square ones; else taken as stored.",
    ),
]
InterpolationOption = Annotated[
    Interpolation | None,
    typer.Option(
        help="How frames are resized: V-JEPA's two taps (bilinear), or antialiased as Hugging Face's processor of V-JEPA 2 does.",
        show_default="as the encoder was trained",
    ),
]
PerturbOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME:SEVERITY",
        help="Make frames worse before they are resized, from 1 (hardly) to 5 (most), as mouth:3, dark:5, flip; repeated: in this "
        "order. Its own cache: `robustness` compares it with the one without.",
        autocompletion=completion.one_of(completion.PERTURBATIONS),
        show_default=False,
    ),
]
PerturbSeedOption = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Of what --perturb draws, with each clip's id.")
]
DevicesOption = Annotated[
    str | None, typer.Option(help="Several at once: cuda:0,cuda:1. Instead of --device.", show_default=False)
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1024,
        help="Processes that decode ahead; 0 decodes one clip at a time.",
        show_default="all cores but two, up to 32",
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=4096, help="Windows through a GPU at once; a CPU takes one a core.", show_default="what fits"
    ),
]
CompileOption = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="CUDA: a minute of torch.compile first; numbers move by rounding.",
        show_default="beyond ten minutes of encoding",
    ),
]
MemoryOption = Annotated[
    float | None,
    typer.Option(min=0.01, help="GB of decoded frames that wait at most.", show_default="an eighth of all, up to 8"),
]
DecoderOption = Annotated[
    Literal["pyav", "decord", "torchcodec"],
    typer.Option(help="Have another library than PyAV agree on every frame used; PyAV's are taken where it does not."),
]
ClipTimeoutOption = Annotated[
    float, typer.Option(min=0.1, max=1e6, help="Seconds after which a clip that will not decode is given up.")
]
MinFramesOption = Annotated[
    int,
    typer.Option(min=1, help="List shorter clips as failed; else the last frame is repeated to fill a window."),
]
ProfileOption = Annotated[bool, typer.Option("--profile", help="Say at the end which stage the others waited for.")]
RetryFailedOption = Annotated[
    bool, typer.Option(help="Try the clips of failed.csv again; with --accept-resize those that it was for.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what it would take: room and time.")]
MachinesOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1_000_000,
        help="With --dry-run: for so many machines or array tasks like this, which share the cache; with --engine ray: so many workers.",
        show_default="1; with --engine ray as many as there is room for",
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        min=1e-9,
        help="With --dry-run: windows a second of a device, if you know it; else it is measured on a few clips here.",
        show_default=False,
    ),
]
PriceOption = Annotated[
    float | None,
    typer.Option(min=0, help="With --dry-run: of a device for an hour, in your money.", show_default=False),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Begin although the disk looks too small.")]
