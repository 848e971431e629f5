"""From the second edition's first run on, the code that decides a run's numbers does not change."""

import pytest

from paper_repro.evidence.reference import PLAN
from paper_repro.files import project_root
from paper_repro.keys import code_hash, find_runs

# `keys.code_hash()` of the code that makes the runs: the last edit before the first of them starts.
FROZEN = "c4356318b7fd3a6898142cd31640de7af9325a183efb936d064d3cf6366a3aed"


def test_code_that_decides_numbers_is_frozen():
    """It becomes active with the first committed run."""
    reference = project_root() / "results" / "reference"
    if not any(find_runs(reference / step.folder, "environment.json") for step in PLAN):
        pytest.skip("no run of docs/protocol.md is committed yet")
    remedy = (
        "a module of keys.DECISIVE has changed since the runs of docs/protocol.md began: undo the change, or write an "
        "amendment there with its reason, show that no number changes (CONTRIBUTING.md, how a run stays valid) and put "
        f"{code_hash()} here"
    )
    assert code_hash() == FROZEN, remedy
