"""Tiny networks in the format of those that come with the project."""

from trainings import TINY

from paper_repro.config import load_profile
from paper_repro.evidence.packaged import Package, make

WHOLE = Package("smoke", {}, (0,), True, "", "noisy pictures")
OF_A_FOLD = Package("smoke", {}, (0,), False, "", "noisy pictures")


def make_packages(photographs, scratch):
    """Writes made/none and made/stage, trained on all photographs, and folds/none, trained on a part, into
    `runs.PACKAGED`; returns their runs by name."""
    config = load_profile("smoke", data=str(photographs), **TINY | {"epochs": 2})
    made = {f"made/{arm}": make("made", config, arm, WHOLE, scratch / "made", None) for arm in ("none", "stage")}
    return made | {"folds/none": make("folds", config, "none", OF_A_FOLD, scratch / "made", None)}
