"""A probe goes in: it is fitted on small tables, and held to what cross-validation, saving and prediction rely on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vjepa_fer.errors import ProbeError
from vjepa_fer.probes import Probe, probe_class, probe_name
from vjepa_fer.probes.learnt import Held
from vjepa_fer.probes.saving import load_probe, save_probe
from vjepa_fer.testing.promises import all_kept, expect

CLASSES = ("sad", "angry", "happy")


def check_probe(probe: str | type[Probe], **params: Any) -> tuple[str, ...]:
    """Hold a probe to what every probe promises.

    Parameters
    ----------
    probe : str or type
        The name of one that is installed, ours or a plug-in's; or a class in hand.
    **params
        Parameters to try it with, such as few epochs.

    Returns
    -------
    tuple of str
        The promises that were tried, all kept.

    Raises
    ------
    BehaviourError
        Some are broken: each is named, with what was done instead.
    PluginError, ProbeError
        There is no such probe, or it cannot be loaded.
    """
    tried = _Tried(probe_class(probe) if isinstance(probe, str) else probe, params)
    promises = {
        "parameters come back as they were given, the seed among them": tried.parameters,
        "classes are sorted, and probabilities (N, K) sum to one": tried.probabilities,
        "columns follow the classes, and labels come back as they went in": tried.labels,
        "a clip's answer does not depend on the others, nor on their order": tried.rows,
        "the same seed gives the same bits": tried.seed,
        "a second fit forgets the first": tried.forgets,
        "what it is given is left as it was": tried.changes_nothing,
        "NaN and other features than those fitted are refused by name": tried.refusals,
        "what it learnt goes to a file without pickle, and comes back equal": tried.saving,
    }
    return all_kept(f"probe {tried.cls.__name__}", promises)


class _Tried:
    """A class of probes, and clips for it."""

    def __init__(self, cls: type[Probe], params: dict[str, Any]) -> None:
        expect(
            isinstance(cls, type) and issubclass(cls, Probe), f"{cls!r:.80} is no subclass of vjepa_fer.probes.Probe"
        )
        self.cls, self.params = cls, params
        rng, codes = np.random.default_rng(0), np.arange(90) % 3
        self.X = (rng.normal(size=(90, 6)) + 3 * rng.choice([-1, 1], size=(3, 6))[codes]).astype(np.float32)
        self.y = np.array(CLASSES)[codes]
        self.test = self.X[60:]

    def fitted(self, X: NDArray | None = None, y: NDArray | None = None) -> Probe:
        """A new probe, fitted on the first sixty clips, or on others."""
        return self.new().fit(self.X[:60] if X is None else X, self.y[:60] if y is None else y)

    def new(self) -> Probe:
        return self.cls(**{"random_state": 0, **self.params})

    def parameters(self) -> None:
        probe, defaults = self.new(), self.cls.parameters()
        expect("random_state" in defaults, f"there is no random_state among {', '.join(defaults)}")
        wrong = [
            name for name, value in {"random_state": 0, **self.params}.items() if getattr(probe, name) is not value
        ]
        expect(not wrong, f"__init__ does not store {', '.join(wrong)} as given")
        again = self.cls().set_params(**probe.get_params())
        expect(again.get_params() == probe.get_params(), "set_params(**get_params()) gives other parameters")

    def probabilities(self) -> None:
        probe = self.fitted()
        expect(probe.classes_.tolist() == sorted(CLASSES), f"classes_ are {probe.classes_.tolist()}")
        answer = np.asarray(probe.predict_proba(self.test))
        expect(answer.shape == (30, 3), f"30 clips and 3 classes have probabilities of shape {answer.shape}")
        expect(bool(np.isfinite(answer).all() and (answer >= 0).all()), "some are NaN, infinite or below 0")
        expect(bool(np.allclose(answer.sum(axis=1), 1, atol=1e-5)), f"the first row sums to {answer[0].sum():.6f}")

    def labels(self) -> None:
        probe, numbered = self.fitted(), self.fitted(y=np.arange(60) % 3)
        given = probe.predict(self.test)
        expect(set(given.tolist()) <= set(CLASSES), f"predicts {sorted(set(given.tolist()) - set(CLASSES))}")
        expect(set(numbered.predict(self.test).tolist()) <= {0, 1, 2}, "numbers as labels come back as something else")
        likeliest = probe.classes_[np.argmax(probe.predict_proba(self.test), axis=1)]
        expect(bool((likeliest == given).all()), "the class that it predicts is not the most probable one")
        hits = float((probe.predict(self.X[:60]) == self.y[:60]).mean())
        expect(
            hits >= 1 / 3,
            f"{hits:.0%} of the clips that it learnt from, three far classes, are right: less than by guessing",
        )

    def rows(self) -> None:
        probe, order = self.fitted(), np.random.default_rng(1).permutation(30)
        answer = probe.predict_proba(self.test)
        expect(
            bool(np.allclose(probe.predict_proba(self.test[order]), answer[order], atol=1e-5)),
            "rows in another order differ",
        )
        expect(bool(np.allclose(probe.predict_proba(self.test[:1]), answer[:1], atol=1e-5)), "one row alone differs")

    def seed(self) -> None:
        same = np.array_equal(self.fitted().predict_proba(self.test), self.fitted().predict_proba(self.test))
        expect(same, "two fits with random_state=0 answer differently")

    def forgets(self) -> None:
        few, labels = self.X[:40, :4], self.y[:40]
        fresh = self.fitted(few, labels).predict_proba(self.test[:, :4])
        used = self.fitted().fit(few, labels).predict_proba(self.test[:, :4])
        expect(np.array_equal(fresh, used), "fitted on other clips first it answers differently")

    def changes_nothing(self) -> None:
        X, y, test = self.X.copy(), self.y.copy(), self.test.copy()
        probe = self.fitted()
        before = probe.get_params()
        probe.predict_proba(self.test)
        kept = np.array_equal(self.X, X) and np.array_equal(self.y, y) and np.array_equal(self.test, test)
        expect(kept, "features or labels are others afterwards")
        expect(before == self.new().get_params(), "fit changes parameters")

    def refusals(self) -> None:
        holes = self.X[:60].copy()
        holes[7, 3] = np.nan
        _refused(lambda: self.fitted(holes), "a fit on NaN")
        _refused(lambda: self.fitted().predict_proba(holes), "NaN after the fit")
        _refused(lambda: self.fitted().predict_proba(self.X[:, :4]), "four features after six")

    def saving(self) -> None:
        probe = self.fitted()
        answer = probe.predict_proba(self.test)
        expect(np.array_equal(self._back(probe).predict_proba(self.test), answer), "read back it answers differently")

    def _back(self, probe: Probe) -> Probe:
        """The probe as a file gives it back: by its name, where it has one."""
        try:
            probe_name(self.cls)
        except ProbeError:
            return self._recalled(probe)
        with tempfile.TemporaryDirectory() as folder:
            save_probe(probe, Path(folder) / "probe")
            return load_probe(Path(folder) / "probe").probe

    def _recalled(self, probe: Probe) -> Probe:
        learnt, fresh = probe._learnt(), self.cls().set_params(**probe.get_params())
        objects = [name for name, array in learnt.arrays.items() if array.dtype.kind not in "fiub"]
        expect(not objects, f"{', '.join(objects)} are no plain numbers")
        fresh.classes_, fresh.n_features_in_ = probe.classes_, probe.n_features_in_
        held = Held(learnt)
        fresh._recall(held)
        held.finish()
        return fresh


def _refused(ask: Callable[[], Any], what: str) -> None:
    try:
        ask()
    except ProbeError:
        return
    expect(False, f"{what} is not refused by a ProbeError")
