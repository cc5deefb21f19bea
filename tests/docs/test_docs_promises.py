"""The page about strangers' files promises nothing that no test of ours shows."""

from __future__ import annotations

import re

from documented import ROOT

PAGE = ROOT / "docs" / "reference" / "strangers.md"


def test_every_promise_names_tests_that_exist():
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("**/test_*.py"))
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| (?!promise|---)", line)]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert all(f"def {name}(" in source for name in named), row
