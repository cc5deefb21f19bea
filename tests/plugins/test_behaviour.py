"""The suite that plug-ins are held to: what keeps its promises passes, and each broken promise is named."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from videos import write_video
from vjepa_fer.errors import BehaviourError, ManifestError, PluginError, ProbeError
from vjepa_fer.manifest import Clip, Manifest
from vjepa_fer.probes.learnt import Learnt
from vjepa_fer.testing import check_corpus, check_encoder, check_probe

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def examples():
    """The three examples, as whoever writes one has them in hand."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("colour_encoder", "prototype_probe", "theatre_corpus"):
            patch.syspath_prepend(str(HERE / name))
            patch.delitem(sys.modules, name, raising=False)
        import colour_encoder
        import prototype_probe
        import theatre_corpus

        yield colour_encoder.ColourEncoder, prototype_probe.PrototypeProbe, theatre_corpus.THEATRE
        for name in ("colour_encoder", "prototype_probe", "theatre_corpus"):
            sys.modules.pop(name)


def test_the_examples_keep_every_promise(examples, tmp_path):
    encoder, probe, corpus = examples
    assert len(check_encoder(encoder)) == 8
    assert len(check_probe(probe, sharpness=2)) == 9
    (tmp_path / "anna").mkdir()
    write_video(tmp_path / "anna" / "joy_1.mp4", 2)
    assert len(check_corpus(corpus, tmp_path)) == 4


@pytest.mark.parametrize("name", ["centroid", "knn", "trivial", "logreg"])
def test_our_own_probes_keep_them(name):
    check_probe(name)


@pytest.mark.parametrize("name", ["tiny-v21", "pixels:8"])
def test_our_own_encoders_keep_them(name):
    check_encoder(name)


def encoder_that(**changes):
    """A class of its own, with some attributes changed."""

    class Cells(torch.nn.Module):
        img_size, patch_size, embed_dim, num_frames = 24, 8, 6, 4

        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(1))
            self.weight = torch.nn.Parameter(torch.arange(18.0).reshape(6, 3) / 10 - 0.7)

        def grid(self, x):
            return x.unflatten(4, (-1, 8)).unflatten(3, (-1, 8)).unflatten(2, (-1, 2)).mean((3, 5, 7))

        def forward(self, x):
            return self.grid(x).flatten(2).transpose(1, 2) @ self.weight.T

    return type("Cells", (Cells,), changes)


def counts(self, x):
    self.seen += 1
    return self.grid(x).flatten(2).transpose(1, 2) @ self.weight.T + self.seen * 1e-3


def spills(self, x):
    tokens = self.grid(x).flatten(2).transpose(1, 2) @ self.weight.T
    return tokens - tokens.mean(dim=(0, 1))


def transposes(self, x):
    return self.grid(x).transpose(3, 4).flatten(2).transpose(1, 2) @ self.weight.T


def writes(self, x):
    return self.grid(x.add_(1)).flatten(2).transpose(1, 2) @ self.weight.T


def overflows(self, x):
    return torch.exp(self.grid(x).flatten(2).transpose(1, 2) @ (40 * self.weight.T))


def only_square(self, x):
    tokens = self.grid(x).flatten(2).transpose(1, 2) @ self.weight.T
    return tokens if x.shape[3] == x.shape[4] else tokens[:, :-1]


def draws(self):
    torch.nn.Module.__init__(self)
    self.weight = torch.nn.Parameter(torch.randn(6, 3))


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"forward": only_square}, "other sizes of whole patches .*gives tokens"),
        ({"forward": overflows}, "black, white and noise give finite tokens: .*NaN or infinite"),
        ({"forward": counts}, "the same window gives the same bits"),
        ({"__init__": draws}, "made anew it holds the same weights"),
        ({"forward": spills}, "a window's tokens do not depend on the others in its batch: up to"),
        ({"forward": transposes}, "tokens lie where the grid says: .*(change more|knows nothing)"),
        ({"forward": writes}, "neither the pixels nor the weights are changed by a call: the pixels"),
        ({"forward": counts}, r"neither the pixels nor the weights are changed by a call: \['inner.seen'\]"),
        ({"depth": 3}, "every layer can be asked for.*has no each_layer"),
    ],
)
def test_a_promise_that_an_encoder_breaks_is_named(changes, promise):
    check_encoder(encoder_that())
    with pytest.raises(BehaviourError, match=promise):
        check_encoder(encoder_that(**changes))


def test_an_encoder_that_lies_on_the_first_window_is_not_even_tried():
    with pytest.raises(PluginError, match=r"Cells \(in hand\): gives tokens \(1, 18, 6\)"):
        check_encoder(encoder_that(embed_dim=5))


def probe_that(base, **changes):
    return type("Odd", (base,), changes)


def shifted(self, X):
    return np.roll(type(self).__mro__[1]._probabilities(self, X), 1, axis=1)


def unnormed(self, X):
    return 2 * type(self).__mro__[1]._probabilities(self, X)


def of_the_batch(self, X):
    return type(self).__mro__[1]._probabilities(self, X - X.mean(axis=0))


def remembers(self, training):
    type(self).__mro__[1]._learn(self, training)
    self.fits_ = getattr(self, "fits_", 0) + 1
    self.means_ = self.means_ + 0.3 * self.fits_


def scales_in_place(self, training):
    training.X[:] *= 2
    type(self).__mro__[1]._learn(self, training)


def unseeded(self, training):
    type(self).__mro__[1]._learn(self, training)
    self.means_ = self.means_ + np.random.default_rng().normal(size=self.means_.shape)


def forgets_half(self, held):
    self.means_ = held.floats("means", len(self.classes_), self.n_features_in_).round()


def takes_anything(self, X):
    return np.nan_to_num(np.asarray(X, np.float32))


def renames(self, *, sharpness=5.0, random_state=None):
    self.sharpness, self.random_state = float(sharpness) + 1, random_state


@pytest.mark.parametrize(
    ("changes", "promise"),
    [
        ({"__init__": renames}, "parameters come back as they were given.*does not store sharpness"),
        ({"_probabilities": unnormed}, "probabilities .* sum to one: the first row sums to 2"),
        ({"_probabilities": shifted}, "columns follow the classes.*less than by guessing"),
        ({"_probabilities": of_the_batch}, "does not depend on the others.*one row alone differs"),
        ({"_learn": unseeded}, "the same seed gives the same bits"),
        ({"_learn": remembers}, "a second fit forgets the first"),
        ({"_learn": scales_in_place}, "what it is given is left as it was"),
        ({"_check_known": takes_anything}, "refused by name: NaN after the fit"),
        ({"_recall": forgets_half}, "comes back equal: read back it answers differently"),
        ({"_learnt": lambda self: Learnt({"means": self.means_.astype(object)})}, "without pickle.*means are no plain"),
    ],
)
def test_a_promise_that_a_probe_breaks_is_named(examples, changes, promise):
    with pytest.raises(BehaviourError, match=promise):
        check_probe(probe_that(examples[1], **changes), sharpness=2)


def test_what_is_no_probe_is_said():
    with pytest.raises(BehaviourError, match=r"<class 'dict'> is no subclass of vjepa_fer.probes.Probe"):
        check_probe(dict)
    with pytest.raises(ProbeError, match="there is no probe 'nobody'"):
        check_probe("nobody")


@pytest.mark.parametrize(
    ("corpus", "promise"),
    [
        (lambda root: Manifest((Clip("a", str(root / "absent.mp4"), "joy", "anna"),)), r"1 are not there.*"),
        (lambda root: Manifest((Clip("a", str(root), "joy", "anna"),)), "an empty folder, and no ManifestError"),
    ],
)
def test_a_promise_that_a_corpus_breaks_is_named(tmp_path, corpus, promise):
    with pytest.raises(BehaviourError, match=promise):
        check_corpus(corpus, tmp_path)


def test_a_corpus_that_changes_between_two_looks_is_named(tmp_path):
    looks = iter("abcdefgh")

    def restless(root):
        if not any(root.iterdir()):
            raise ManifestError("nothing here")
        return Manifest((Clip(next(looks), str(root), "joy", "anna"),))

    (tmp_path / "one").touch()
    with pytest.raises(BehaviourError, match=r"breaks 1 of 4 promises:\n.*the second manifest is another one"):
        check_corpus(restless, tmp_path)
