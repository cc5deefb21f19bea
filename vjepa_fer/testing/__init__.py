"""A plug-in, installed or in hand, goes in; which promises of its kind it keeps comes out, or an error with all that it breaks.

As scikit-learn's ``check_estimator``: a line in the tests of your own package.
"""

from vjepa_fer.testing.corpora import check_corpus
from vjepa_fer.testing.encoders import check_encoder
from vjepa_fer.testing.probes import check_probe

__all__ = ["check_corpus", "check_encoder", "check_probe"]
