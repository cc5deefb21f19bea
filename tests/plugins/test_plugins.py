"""Packages of other people's add encoders, probes and corpora by name: used from end to end, and named where they are broken."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from videos import write_video
from vjepa_fer.cache import open_cache
from vjepa_fer.cli import completion
from vjepa_fer.cli.main import app, make_program
from vjepa_fer.doors import find_plugins
from vjepa_fer.doors.plugins import _installed
from vjepa_fer.errors import PluginError, ProbeError, RecipeMismatchError, RunError, VjepaFerError
from vjepa_fer.extract import recipe_without_weights
from vjepa_fer.manifest import corpus_manifest, plugin_corpora
from vjepa_fer.predict import load_predictor
from vjepa_fer.probes import make_probe, plugin_probes, probe_name
from vjepa_fer.probes.saving import load_probe
from vjepa_fer.recipe import Sampling, Storage, fingerprint, recipe_from_json, recipe_to_dict, recipe_to_json
from vjepa_fer.report.reproduce import feature_commands
from vjepa_fer.video import normalise, read_windows

HERE = Path(__file__).parent
EXAMPLES = ("colour_encoder", "prototype_probe", "theatre_corpus")


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The three example packages, installed by pip into a folder of their own."""
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("site")
    for name in EXAMPLES:  # pip builds beside the sources
        shutil.copytree(HERE / name, sources / name)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--no-compile",
    ]
    folders = [str(sources / name) for name in EXAMPLES]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(target), *folders], check=True)
    return target


@pytest.fixture
def installed(examples, monkeypatch):
    """Python sees them, and so do the processes that are started."""
    return seen(examples, monkeypatch)


def seen(folder, monkeypatch):
    for name in EXAMPLES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.fixture(scope="module")
def study(examples, tmp_path_factory):
    """Twelve videos, and what the three plug-ins made of them: ``m.csv``, ``cache`` and ``runs``."""
    folder = tmp_path_factory.mktemp("study")
    for number in range(12):
        path = (
            folder / "th" / ("anna", "ben", "cleo")[number % 3] / f"{('joy', 'sorrow')[number // 3 % 2]}_{number}.mp4"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_video(path, 17 + number)
    with pytest.MonkeyPatch.context() as patch:
        seen(examples, patch)
        told = [call("manifest", "corpus", "theatre", folder / "th", "-o", folder / "m.csv")]
        told += [call("extract", folder / "m.csv", folder / "cache", "--model", "colours", "--layers", "0,1")]
        ask = ["-p", "prototype,centroid", "--folds", "loso", "--param", "prototype.sharpness=2,5", "--refit"]
        told += [call("probe", folder / "cache", *ask, "--out", folder / "runs")]
        for name in EXAMPLES:
            sys.modules.pop(name, None)
    (folder / "told.txt").write_text("".join(done.output for done in told))
    return folder


def call(*words, status=0):
    done = CliRunner().invoke(app, list(map(str, words)))
    if isinstance(done.exception, VjepaFerError):
        raise done.exception
    assert done.exit_code == status, done.output
    return done


def add_package(folder, package, group, names, code="Thing = None", version="1.0"):
    """What pip would leave of a package: its module, and an entry point a name."""
    module = package.replace("-", "_")
    (folder / f"{module}.py").write_text(code)
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [f"{name} = {module}:Thing" for name in names]
    (info / "entry_points.txt").write_text(f"[vjepa_fer.{group}]\n" + "\n".join(lines) + "\n")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty folder that Python sees packages in."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    before = set(sys.modules)
    yield folder
    for name in {one for one in sys.modules if one.startswith("added_")} - before:
        del sys.modules[name]


# from end to end


def test_a_plugin_corpus_becomes_a_manifest_that_says_whose_it_is(study, installed):
    manifest = corpus_manifest("theatre", study / "th")
    assert (len(manifest), manifest.labels, manifest.subjects) == (12, ("joy", "sorrow"), ("anna", "ben", "cleo"))
    assert manifest.notes[-1] == "the corpus theatre is the plug-in of theatre-corpus 2.0"
    assert manifest.notes[-1] in (study / "told.txt").read_text()


@pytest.mark.parametrize("layer", [0, 1])
def test_a_plugin_encoders_cache_is_what_its_class_gives_by_hand(study, installed, layer):
    from colour_encoder import ColourEncoder

    cache = open_cache(study / "cache")
    number = next(n for n, clip in enumerate(cache.clips) if clip.subject == "anna")
    clip, recipe = cache.manifest.clips[number], cache.recipe
    pixels = read_windows(clip.path, recipe.sampling, recipe.preprocessing)
    window = normalise(torch.from_numpy(pixels.window_pixels(0)[:1]), recipe.preprocessing)
    with torch.inference_mode():
        tokens = next(ColourEncoder().each_layer(window, [layer]))
    level = "mean" if layer else "mean@0"
    np.testing.assert_allclose(cache.features(level).X[number], tokens[0].mean(dim=0).numpy(), atol=1e-6)


def test_recipe_run_and_saved_probe_say_package_and_version(study, installed):
    spec = open_cache(study / "cache").recipe.encoder
    assert (spec.name, spec.family, spec.plugin, len(spec.weights)) == ("colours", "plugin", "colour-encoder 1.2", 64)
    runs = [json.loads(path.read_text())["settings"] for path in (study / "runs").glob("**/run.json")]
    marks = {settings["probe"]: settings.get("plugins") for settings in runs}
    whose = "prototype: prototype-probe 0.3"
    assert marks == {"prototype": whose, "centroid": None, "prototype,centroid": whose}
    saved = [json.loads(path.read_text()) for path in (study / "runs").glob("**/probe.json")]
    assert [(one["probe"], one.get("plugin")) for one in saved] in (
        [("prototype", "prototype-probe 0.3")],
        [("centroid", None)],
    )
    assert "colours is the plug-in of colour-encoder 1.2" in (study / "told.txt").read_text()


def test_the_recipe_reads_back_and_ours_have_no_word_of_plugins(study, installed):
    recipe = open_cache(study / "cache").recipe
    assert recipe_from_json(recipe_to_json(recipe)) == recipe
    ours = recipe_without_weights(
        "tiny-v21", resolution=None, sampling=Sampling(), storage=Storage(), num_views=1, precision="float32"
    )
    assert "plugin" not in recipe_to_dict(ours)["encoder"]
    (line,) = feature_commands(recipe, "cache")
    assert "--model colours " in line
    assert "--state-key" not in line


def test_a_new_video_is_predicted_with_both_plugins(study, installed, tmp_path):
    call("probe", study / "cache", "-p", "prototype", "--folds", "loso", "--refit", "--out", tmp_path / "runs")
    predictor = load_predictor(next((tmp_path / "runs").glob("prototype*")))
    video = write_video(tmp_path / "new.mp4", 20)
    answer = call("predict", video, "-r", next((tmp_path / "runs").glob("prototype*")), "--json")
    assert "joy" in answer.stdout
    assert predictor.encoder.spec.plugin == "colour-encoder 1.2"


def test_the_same_extraction_again_does_nothing_and_a_dry_run_plans_it(study, installed):
    again = call("extract", study / "m.csv", study / "cache", "--model", "colours", "--layers", "0,1", "--json")
    assert json.loads(again.stdout)["skipped"] == 12
    plan = call("extract", study / "m.csv", study / "other", "--model", "colours", "--dry-run", "--json")
    assert json.loads(plan.stdout)["clips"] == 12
    assert not (study / "other").exists()


# listed, and imported only when named


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models", "list"), "plug-in of colour-encoder 1.2 (colour_encoder:ColourEncoder)"),
        (("probe", "--list"), "plug-in of prototype-probe 0.3 (prototype_probe:PrototypeProbe)"),
    ],
)
def test_lists_show_plugins_with_package_and_version_and_import_none(installed, words, said):
    assert said in " ".join(call(*words).output.split())
    listed = json.loads(call(*words, "--json").stdout)["plugins"]
    assert [set(one) for one in listed] == [{"name", "package", "version", "value"}]
    assert not set(EXAMPLES) & set(sys.modules)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("probe", "Plug-ins: prototype (prototype-probe 0.3)."),
        ("extract", "Plug-ins: colours (colour-encoder 1.2)."),
        ("manifest corpus", "Plug-ins: theatre (theatre-corpus 2.0)."),
    ],
)
def test_the_help_of_a_command_names_them_and_imports_none(installed, words, said, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        make_program(words.split()[:1])([*words.split(), "--help"])
    assert said in " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert not set(EXAMPLES) & set(sys.modules)


def test_the_tab_key_offers_them(installed):
    assert "prototype" in completion.probes()
    assert "colours" in completion.models()
    assert "theatre" in completion.corpora()
    assert not set(EXAMPLES) & set(sys.modules)


def test_one_of_a_plugins_parameters_is_listed_when_it_is_named(installed):
    (one,) = json.loads(call("probe", "--list", "-p", "prototype", "--json").stdout)["probes"]
    assert (one["parameters"], one["plugin"]) == ({"sharpness": 5.0}, "prototype-probe 0.3")
    assert one["summary"] == "Nearest class mean by cosine; `sharpness` sets how sure it is"
    assert "colour-encoder 1.2" in call("models", "info", "colours").output


def test_nobody_looks_for_plugins_where_all_names_are_ours(monkeypatch):
    def looked(**_):
        raise AssertionError("entry points were read")

    _installed.cache_clear()
    monkeypatch.setattr(metadata, "entry_points", looked)
    make_program(["probe"])
    with pytest.raises(SystemExit):
        make_program()(["--help"])
    make_probe("knn")
    recipe_without_weights(
        "pixels:8", resolution=None, sampling=Sampling(), storage=Storage(), num_views=1, precision="float32"
    )


# broken ones are named, and break nothing else


TRAP = "raise RuntimeError('out of paint')"


@pytest.fixture
def traps(site):
    """A package in each group whose module raises."""
    for group in ("encoders", "probes", "corpora"):
        add_package(site, f"added-{group}", group, [f"broken-{group}"], TRAP)
    return site


def test_lists_and_helps_go_on_beside_modules_that_raise(traps, study):
    for words in (("models", "list"), ("probe", "--list"), ("cache", "info", study / "cache")):
        call(*words)
    call("probe", study / "cache", "-p", "centroid", "--folds", "loso", "--json")
    assert not {f"added_{group}" for group in ("encoders", "probes", "corpora")} & set(sys.modules)


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("encoders", ("extract", "{study}/m.csv", "{new}", "--model", "broken-encoders")),
        ("probes", ("probe", "{study}/cache", "-p", "broken-probes", "--folds", "loso", "-o", "{new}")),
        ("corpora", ("manifest", "corpus", "broken-corpora", "{study}/th", "-o", "{new}")),
    ],
)
def test_a_module_that_raises_is_named_and_nothing_is_written(traps, study, tmp_path, group, words):
    new = tmp_path / "new"
    with pytest.raises(PluginError) as caught:
        call(*(word.format(study=study, new=new) for word in words))
    assert str(caught.value) == (
        f"plug-in 'broken-{group}' of added-{group} 1.0 (added_{group}:Thing): cannot be imported: RuntimeError: out of paint. "
        f"Mend it, or leave it out: pip uninstall added-{group}"
    )
    assert not new.exists()


def test_the_doctor_tries_each_and_names_the_broken_one(traps, installed, monkeypatch):
    import os

    from vjepa_fer.cli.doctor import _faults, _plugin_line
    from vjepa_fer.doctor import examine_plugins

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(installed), str(traps)]))
    found = {one["name"]: one for one in examine_plugins(60)}
    assert "out of paint" in found["broken-probes"]["fault"]
    assert "fault" not in found["prototype"]
    assert _plugin_line(found["prototype"]) == "prototype (probes) of prototype-probe 0.3"
    assert "does NOT work: plug-in 'broken-probes'" in _plugin_line(found["broken-probes"])
    healthy = {
        "packages": {}, "decoders": {}, "devices": {"found": []}, "weights": [], "disk": {},
        "stages": {"stage 2 (laptop)": {"ready": True}},
    }  # fmt: skip
    assert not _faults({**healthy, "plugins": [found["prototype"]]})
    assert _faults({**healthy, "plugins": [found["broken-probes"]]})


ENCODER = """
import torch
from torch import nn
class Thing(nn.Module):
    img_size, patch_size, embed_dim = 32, 8, 6
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 6)
        nn.init.eye_(self.linear.weight)
    def cells(self, x):
        return x.unflatten(4, (-1, 8)).unflatten(3, (-1, 8)).unflatten(2, (-1, 2)).mean((3, 5, 7)).flatten(2).transpose(1, 2)
    def forward(self, x):
        return self.linear(self.cells(x))
"""


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (ENCODER + "    def forward(self, x): return self.linear(self.cells(x)) / 0", "gives tokens that are NaN or infinite"),
        (
            ENCODER + "    def forward(self, x): return self.linear(self.cells(x))[:, 1:]",
            r"gives tokens \(1, 127, 6\) for pixels \(1, 3, 16, 32, 32\); its patch_size, tubelet_size and embed_dim promise "
            r"\(1, 128, 6\), a grid of 8 × 4 × 4",
        ),
        (ENCODER + "    def forward(self, x): return self.cells(x)", r"gives tokens \(1, 128, 3\)"),
        (ENCODER + "    def forward(self, x): return self.linear(self.cells(x)).long()", "of torch.int64, expected a tensor"),
        (ENCODER + "    def forward(self, x): return [x]", "gives tokens as list"),
        (ENCODER + "    def forward(self, x): raise ValueError('no paint')", "raised ValueError: no paint"),
        (ENCODER.replace("img_size, patch_size, embed_dim = 32, 8, 6", ""), "does not say img_size, patch_size, embed_dim"),
        (ENCODER.replace("32, 8, 6", "32, 0, 6"), r"patch_size 0 must be a whole number"),
        (ENCODER.replace("32, 8, 6", "20, 8, 6"), "img_size 20 is not a multiple of patch_size 8"),
        (ENCODER + "    def __init__(self): raise OSError('no file')", "cannot be made: OSError: no file"),
        ("Thing = 3", "is int 3, expected a class of torch modules"),
        ("import sys; sys.exit('bye')", "cannot be imported: SystemExit: bye"),
        ("pass", "cannot be imported: AttributeError: module 'added_one' has no attribute 'Thing'"),
    ],
)  # fmt: skip
def test_an_encoder_that_lies_is_named_and_nothing_is_written(site, study, tmp_path, code, said):
    add_package(site, "added-one", "encoders", ["liar"], code)
    with pytest.raises(PluginError, match=r"plug-in 'liar' of added-one 1\.0 \(added_one:Thing\): .*" + said):
        call("extract", study / "m.csv", tmp_path / "cache", "--model", "liar")
    assert not (tmp_path / "cache").exists()


def test_an_encoder_that_lies_later_leaves_no_clip(site, study, tmp_path):
    code = ENCODER + "    def forward(self, x): return self.linear(self.cells(x)) / (x.max() - x.min() == 4)"
    add_package(site, "added-one", "encoders", ["late"], code)
    with pytest.raises(PluginError, match=r"added-one 1.0 .*gives tokens that are NaN or infinite"):
        call("extract", study / "m.csv", tmp_path / "cache", "--model", "late")
    assert not open_cache(tmp_path / "cache").done


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--weights", "w.pt"), "honest brings its own weights"),
        (("--weights", "random:0"), "honest brings its own weights"),
        (("--state-key", "encoder"), "honest is a plug-in, which has no state key"),
    ],
)
def test_what_a_plugin_does_not_take_is_refused(site, study, tmp_path, options, said):
    add_package(site, "added-one", "encoders", ["honest"], ENCODER)
    with pytest.raises(VjepaFerError, match=said):
        call("extract", study / "m.csv", tmp_path / "cache", "--model", "honest", *options)
    assert not (tmp_path / "cache").exists()


def test_weights_are_called_by_what_they_are(site, tmp_path):
    from vjepa_fer.encoder import load_encoder

    taking = ENCODER.replace("def __init__(self):", "def __init__(self, weights=None):").replace(
        "nn.init.eye_(self.linear.weight)",
        "nn.init.constant_(self.linear.weight, float(weights.read_text()) if weights else 0)",
    )
    taking = taking.replace("nn.Linear(3, 6)", "nn.Linear(3, 6, bias=False)")
    add_package(site, "added-one", "encoders", ["honest"], taking)
    files = [tmp_path / name for name in "abc"]
    for file, value in zip(files, ("0.5", "0.25", "0.5"), strict=True):
        file.write_text(value)
    plain, *given = (load_encoder("honest", weights=file).spec.weights for file in (None, *files))
    assert given[0] == given[2]
    assert len({plain, *given}) == 3


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("Thing = dict", "expected a subclass of vjepa_fer.probes.Probe"),
        (
            "from vjepa_fer.probes import Probe\nclass Thing(Probe):\n    def __init__(self): pass",
            "has no parameter random_state",
        ),
    ],
)
def test_a_probe_that_is_none_is_named(site, code, said):
    add_package(site, "added-one", "probes", ["odd"], code)
    with pytest.raises(PluginError, match=f"plug-in 'odd' of added-one 1.0 .*{said}"):
        make_probe("odd")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("Thing = 3", "expected a PathRule, a ListRule or a function of a folder"),
        ("def Thing(root): return []", "gave list, expected a Manifest"),
        ("def Thing(root): return 1 / 0", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_corpus_that_is_none_is_named(site, tmp_path, code, said):
    add_package(site, "added-one", "corpora", ["odd"], code)
    with pytest.raises(PluginError, match=f"plug-in 'odd' of added-one 1.0 .*{said}"):
        corpus_manifest("odd", tmp_path)


def test_a_corpus_may_be_a_function_and_its_refusals_name_it(site, tmp_path):
    code = (
        "from vjepa_fer.manifest import Clip, Manifest\n"
        "def Thing(root): return Manifest(tuple(Clip(p.stem, str(p), 'joy', p.stem) for p in root.glob('*.mp4')))"
    )
    add_package(site, "added-one", "corpora", ["found"], code)
    with pytest.raises(VjepaFerError, match="no clips") as caught:
        corpus_manifest("found", tmp_path)
    assert "So says the plug-in 'found' of added-one 1.0 (added_one:Thing)." in caught.value.lines
    write_video(tmp_path / "one.mp4", 2)
    assert [clip.clip_id for clip in corpus_manifest("found", tmp_path)] == ["one"]


# names


def test_a_name_of_ours_stays_ours_and_that_is_said(site):
    add_package(site, "added-one", "probes", ["knn", "own"])
    plugins = plugin_probes()
    assert list(plugins.usable) == ["own"]
    said = "plug-in 'knn' of added-one 1.0 (added_one:Thing): refused, for vjepa-fer has a 'knn' of its own"
    assert plugins.refused == {"knn": said}
    assert said in " ".join(call("probe", "--list").output.split())
    assert type(make_probe("knn")).__module__ == "vjepa_fer.probes.neighbors"
    add_package(site, "added-two", "corpora", ["ravdess"])
    assert "ravdess" in plugin_corpora().refused


def test_of_two_packages_with_one_name_neither_is_taken(site):
    add_package(site, "added-one", "probes", ["twin"])
    add_package(site, "added-two", "probes", ["twin"])
    with pytest.raises(
        PluginError, match=r"of added-one 1.0 .* and plug-in 'twin' of added-two 1.0 .*both are refused"
    ):
        make_probe("twin")


def test_a_name_that_no_folder_or_list_could_hold_is_refused(site):
    add_package(site, "added-one", "probes", ["My Probe"])
    assert "names have a-z" in plugin_probes().refused["My Probe"]


def test_a_name_that_nobody_has_is_met_with_the_nearest_of_a_plugin(installed):
    with pytest.raises(ProbeError, match=r"no probe 'prototpye'; did you mean 'prototype'"):
        make_probe("prototpye")
    with pytest.raises(VjepaFerError, match=r"'teatre' is not one of .*theatre; did you mean 'theatre'"):
        corpus_manifest("teatre", ".")


def test_a_registration_of_the_users_comes_before_a_plugin(site, tmp_path, monkeypatch):
    from vjepa_fer.encoder.loading.plugin_class import plugin_encoders
    from vjepa_fer.encoder.loading.registry import named_encoder

    monkeypatch.setenv("VJEPA_FER_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.toml").write_text('like = "vjepa2-large-256"\nweights = "w.pt"\n')
    add_package(site, "added-one", "encoders", ["mine"], ENCODER)
    assert named_encoder("mine").plugin is None
    assert "mine" in plugin_encoders().refused


def test_a_class_without_a_name_is_not_saved_as_another(installed):
    from prototype_probe import PrototypeProbe

    assert probe_name(PrototypeProbe) == "prototype"
    with pytest.raises(ProbeError, match="has no name to be found by: make it a plug-in"):
        probe_name(type("KnnProbe", (PrototypeProbe,), {}))


# another version is another thing


@pytest.fixture
def upgraded(examples, tmp_path, monkeypatch):
    """The same packages, each a version later."""
    folder = tmp_path / "later"
    shutil.copytree(examples, folder)
    for path in folder.glob("*.dist-info/METADATA"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join("Version: 9" if line.startswith("Version:") else line for line in lines))
    return seen(folder, monkeypatch)


def test_another_version_is_another_recipe(study, upgraded):
    with pytest.raises(
        RecipeMismatchError, match=r"encoder.plugin: 'colour-encoder 1.2' there, 'colour-encoder 9' asked"
    ):
        call("extract", study / "m.csv", study / "cache", "--model", "colours", "--layers", "0,1")


def test_another_version_is_another_run(study, upgraded):
    ask = ["-p", "prototype,centroid", "--folds", "loso", "--param", "prototype.sharpness=2,5"]
    with pytest.raises(
        RunError, match=r"plugins: 'prototype: prototype-probe 0.3' there, 'prototype: prototype-probe 9' asked"
    ):
        call("probe", study / "cache", *ask, "--out", study / "runs")


def test_a_saved_probe_asks_for_the_version_that_made_it(study, installed, tmp_path, monkeypatch, examples):
    from vjepa_fer.probes.saving import save_probe

    X, y = np.eye(6), np.array(list("ababab"))
    save_probe(make_probe("prototype").fit(X, y), tmp_path / "p")
    assert load_probe(tmp_path / "p").probe.sharpness == 5.0
    later = tmp_path / "later"
    shutil.copytree(examples, later)
    for path in later.glob("prototype*/METADATA"):
        path.write_text(path.read_text().replace("Version: 0.3", "Version: 9"))
    seen(later, monkeypatch)
    with pytest.raises(
        ProbeError, match=r"the plug-in that made it is prototype-probe 0.3, and prototype-probe 9 is installed"
    ):
        load_probe(tmp_path / "p")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry not in (str(later), str(examples))])
    with pytest.raises(ProbeError, match=r"is of the plug-in prototype-probe 0.3, which is not installed here"):
        load_probe(tmp_path / "p")


def test_runs_of_a_plugin_are_listed_where_it_is_not_installed(study):
    assert not find_plugins("probes", ()).usable
    assert "prototype sharpness=2" in call("runs", "list", study / "runs").output
    assert fingerprint(open_cache(study / "cache").recipe)
