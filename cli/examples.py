"""The commands go in; under the help of each stand two examples then, which ``tests/cli/test_help.py`` has the parser read.

An example is said in a few words, and is short enough to stand on one line of a terminal of 80 columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Example(NamedTuple):
    """What somebody wants, and the words after ``vjepa-fer`` that do it."""

    wish: str
    words: str

    @property
    def command(self) -> str:
        """As it is typed."""
        return f"vjepa-fer {self.words}"


EXAMPLES: dict[str, tuple[Example, Example]] = {
    "demo": (
        Example("See the whole path in a minute, and keep nothing", "demo"),
        Example("Keep videos and cache, and compare several encoders on them", "demo drawn --compare"),
    ),
    "doctor": (
        Example("What works on this machine", "doctor"),
        Example("The same for a bug report, with another disk tried", "doctor /data --json"),
    ),
    "manifest ravdess": (
        Example("The 1,440 spoken performances of a download", "manifest ravdess /data/RAVDESS -o ravdess.csv"),
        Example("The official list alone, song too, for imported features", "manifest ravdess --song -o ravdess.csv"),
    ),
    "manifest crema-d": (
        Example("A download, without the damaged files", "manifest crema-d /data/CREMA-D -o c.csv --exclude damaged"),
        Example("Clips of strong emotion only", "manifest crema-d /data/CREMA-D -o c.csv --where intensity=high"),
    ),
    "manifest corpus": (
        Example("A corpus with its official split", "manifest corpus dfew /data/DFEW -o dfew.csv"),
        Example("Frontal views only", "manifest corpus mead /data/MEAD -o mead.csv --where view=front"),
    ),
    "manifest folder": (
        Example("Folders named by what is seen: videos/happy/…", "manifest folder videos -o clips.csv"),
        Example(
            "Names of files that begin with the label: happy_01.mp4",
            "manifest folder videos -o c.csv --pattern '(?P<label>[a-z]+)_.+'",
        ),
    ),
    "manifest csv": (
        Example("A table with our names of columns", "manifest csv table.csv -o clips.csv"),
        Example(
            "A table with names of its own",
            "manifest csv table.csv -o clips.csv --column label=emotion",
        ),
    ),
    "manifest verify": (
        Example("Read every file of a download", "manifest verify /data/CREMA-D"),
        Example("Sizes only, in seconds", "manifest verify /data/CREMA-D --corpus crema-d --fast"),
    ),
    "models list": (
        Example("All encoders, and what they cost", "models list"),
        Example("The same for a program", "models list --json"),
    ),
    "models info": (
        Example("Everything about one", "models info vjepa2.1-large-384"),
        Example("One of your own, by its file", "models info my-faces.toml"),
    ),
    "models fetch": (
        Example("Meta's file, with its SHA-256 recorded", "models fetch vjepa2.1-large-384"),
        Example("V-JEPA 2 from Hugging Face", "models fetch vjepa2-large-256 --source huggingface"),
    ),
    "models slim": (
        Example("Keep the encoder alone", "models slim vitl.pt -o vitl.safetensors"),
        Example("Of a file with a name of its own", "models slim my.pt -o my.safetensors --model vjepa2-large-256"),
    ),
    "extract": (
        Example("A cache of an official encoder", "extract clips.csv cache/faces --model vjepa2.1-large-384"),
        Example(
            "Eight frames a second, and only say what it takes",
            "extract clips.csv c8 --model vjepa2-large-256 --fps 8 --dry-run",
        ),
    ),
    "extract-audio": (
        Example("eGeMAPS, one vector a clip", "extract-audio clips.csv cache/sound --features egemaps"),
        Example(
            "Descriptors every 10 ms, and only say what it takes",
            "extract-audio clips.csv lld --features egemaps-lld --dry-run",
        ),
    ),
    "cache info": (
        Example("What is there, and what is missing", "cache info cache/ravdess"),
        Example("A page to look at before probing", "cache info cache/ravdess --html look.html"),
    ),
    "cache verify": (
        Example("Read every byte", "cache verify cache/ravdess"),
        Example("The same for a program", "cache verify cache/ravdess --json"),
    ),
    "cache repair": (
        Example("Take out what is damaged", "cache repair cache/ravdess"),
        Example("And say what that was to a program", "cache repair cache/ravdess --json"),
    ),
    "cache merge": (
        Example("Two halves of an extraction", "cache merge cache/a cache/b --out cache/both"),
        Example("For others, without names of people", "cache merge cache/a cache/b --out cache/free --anonymise"),
    ),
    "cache subset": (
        Example("Two labels", "cache subset cache/faces -o cache/two --where label=happy,sad"),
        Example("The clips on a list", "cache subset cache/ravdess --out cache/part --clips ids.txt"),
    ),
    "cache mirror": (
        Example("To a bucket", "cache mirror cache/faces s3://bucket/faces"),
        Example("And back, or on after a stop", "cache mirror s3://bucket/faces cache/copy"),
    ),
    "cache pool": (
        Example("Small levels from stored tokens", "cache pool cache/tokens --out cache/small"),
        Example("One level only", "cache pool cache/tokens --out cache/grid --levels grid:4"),
    ),
    "cache import": (
        Example("OpenFace's Action Units", "cache import au.csv au -m c.csv --id-column name --columns 'AU*'"),
        Example("A folder of OpenFace's tables, frame by frame", "cache import processed cache/au -m clips.csv"),
    ),
    "cache export": (
        Example("The means as a table", "cache export cache/ravdess -o mean.csv"),
        Example("A row a window, for numpy", "cache export cache/ravdess -o frames.npz -f frames --windows"),
    ),
    "probe": (
        Example(
            "Two probes on published folds",
            "probe cache/ravdess -p logreg,mlp --folds ravdess-5fold -o runs",
        ),
        Example(
            "Train on one corpus, test on another",
            "probe cache/ravdess --test-on cache/crema-d --policy merge",
        ),
    ),
    "experiments list": (
        Example("Those that come along", "experiments list"),
        Example("The same for a program", "experiments list --json"),
    ),
    "experiments show": (
        Example("Whose figures it makes, and how", "experiments show eing-2026-ravdess"),
        Example("As JSON, with its fingerprint", "experiments show eing-2026-ravdess --json"),
    ),
    "experiments table": (
        Example("A results table for a README", "experiments table runs/first"),
        Example("Whether a paper still says what the runs say", "experiments table runs/first --check results.tex"),
    ),
    "runs list": (
        Example("What was fitted, the figure to report first", "runs list runs/first"),
        Example("The same for a program", "runs list runs/first --json"),
    ),
    "runs issues": (
        Example("The clips whose label is most likely wrong", "runs issues runs/first/logreg-mean-standard"),
        Example("Beside what raters said", "runs issues runs/first/logreg-mean-standard -m faces.csv"),
    ),
    "runs show": (
        Example("One run's figures", "runs show runs/first/logreg-mean-standard"),
        Example("The same for a program", "runs show runs/first/logreg-mean-standard --json"),
    ),
    "runs compare": (
        Example("All runs of a folder", "runs compare runs/first"),
        Example("A run and somebody's table, on shared clips", "runs compare runs/first/best theirs.csv --intersect"),
    ),
    "evaluate": (
        Example("Anyone's predictions, by a manifest's column", "evaluate theirs.csv -m ravdess.csv --by sex"),
        Example("A published confusion matrix", "evaluate matrix.csv --confusion"),
    ),
    "robustness": (
        Example("What a hidden mouth costs", "robustness study.toml cache/faces cache/mouth5 -o r.json"),
        Example("Trained on dark clips too", "robustness study.toml cache/a cache/dark3 --augment cache/dark3"),
    ),
    "report": (
        Example("A page about all runs of a folder", "report runs/first -o report.html"),
        Example("Figures for a paper as well", "report runs/first --figures figures --format pdf,svg"),
    ),
    "predict": (
        Example("What a fitted probe sees in a video", "predict new.mp4 --run runs/first/logreg-mean-standard"),
        Example(
            "A folder of videos, and their course over time", "predict videos -r runs/first/best --timeline over-time"
        ),
    ),
}


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, by what is typed for it: ``"cache info"``."""
    below = getattr(command, "commands", None)
    if below is None:
        yield name, command
    else:
        for short, one in below.items():
            yield from leaves(one, f"{name} {short}".strip())


def add_examples(program: Any) -> None:
    """Put each command's examples below its help."""
    for name, command in leaves(program):
        if name in EXAMPLES:
            command.epilog = _markdown(EXAMPLES[name])


def _markdown(examples: tuple[Example, ...]) -> str:
    """A list of them; two blanks before a line end break the line."""
    return "\n\n".join(f"- {one.wish}:  \n  `{one.command}`" for one in examples)
