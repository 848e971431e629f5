"""What was found, from the ledger alone: at most six sentences, and a short table of the verdicts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from paper_repro.evidence.statistics import UNDECIDED, UNMEASURED
from paper_repro.findings import number

SUPPORTED, REFUTED = "supported", "not supported"
MARK = {SUPPORTED: "✔", REFUTED: "✘", UNDECIDED: "?", UNMEASURED: "–"}
NETWORKS = "networks with one attention module per stage"
# A sentence each: its topic, its subject, and what the subject does if a line of the ledger holds.
SENTENCES: tuple[tuple[str, str, dict[str, str]], ...] = (
    (
        "accuracy beside the plain ResNet50",
        NETWORKS,
        {"C1": "beat the plain ResNet50", "C1, at convergence": "beat it after three times as many epochs"},
    ),
    (
        "accuracy beside controls without attention, and beside other CNNs",
        NETWORKS,
        {
            "C1, attention's part": "beat all controls without attention",
            "C2": "beat all of AlexNet, VGG11, DenseNet121 and MobileNetV3",
        },
    ),
    (
        "one module per stage beside one in every block",
        NETWORKS,
        {
            "C3": "keep up with networks that have a module in every block",
            "C3, reuse": "keep up with networks that compute a new gate in every block",
        },
    ),
    (
        "size and speed",
        NETWORKS,
        {
            "C4, beside block": "need fewer parameters and less time than networks with a module in every block",
            "C4, beside none": "need fewer parameters and less time than the plain network",
        },
    ),
    (
        "whether the blocks of a stage agree",
        "the blocks of a stage",
        {"C3, premise": "ask for the same attention"},
    ),
    (
        "what the heat maps show",
        "Grad-CAM's heat maps",
        {
            "C5, evidence for the class": "point at the picture of the class asked for, among four",
            "C5, the cause": "show the sticker that decided an answer",
            "C5, on the object": "find the object better than a map that knows nothing of the network",
        },
    ),
)
DIFFERENCES = ("C1", "C1, at convergence")  # lines whose value stands in the sentence, in points


def finding(ledger: pd.DataFrame) -> list[str]:
    """What was found, in at most six sentences.

    Args:
        ledger: `lines.ledger`; claim, data, verdict and value are read.
    """
    by_claim, said, missing, before = _by_claim(ledger), [], [], ""
    for topic, subject, does in SENTENCES:
        if all(line.verdict == UNMEASURED for claim in does for line in by_claim[claim]):
            missing.append(topic)
            continue
        said.append(_sentence("they" if subject == before else subject, does, by_claim))
        before = subject
    return [*said, f"Not measured yet: {'; '.join(missing)}."] if missing else said


def verdicts(ledger: pd.DataFrame) -> list[tuple[str, str, str]]:
    """A row per claim: its name, what it says, and its verdicts with their marks and data sets."""
    rows = []
    for claim, part in _by_claim(ledger).items():
        places: dict[str, list[str]] = {}
        for line in part:
            place = f"{line.data} (confirmatory)" if line.status == "confirmatory" else line.data
            places.setdefault(line.verdict, []).append(place)
        said = [
            f"**{MARK[v]} {v}**" + ("" if v == UNMEASURED else f" on {' and '.join(at)}") for v, at in places.items()
        ]
        rows.append((claim, part[0].reads, "; ".join(said)))
    return rows


def _by_claim(ledger: pd.DataFrame) -> dict[str, list[Any]]:
    """Claim -> its lines as named tuples, one per data set."""
    found: dict[str, list[Any]] = {}
    for line in ledger.itertuples():
        if line.data != "both":
            found.setdefault(str(line.claim), []).append(line)
    return found


def _sentence(subject: str, does: Mapping[str, str], by_claim: Mapping[str, list[Any]]) -> str:
    """A clause each for what holds, what does not, what is open and what is not measured."""
    clauses: list[str] = []
    for verdict, opens, joins in (
        (SUPPORTED, "{} ", " and "),
        (REFUTED, "{} do not ", " or "),
        (UNDECIDED, "it is open whether {} ", " and whether they "),
        (UNMEASURED, "it is not measured yet whether {} ", " and whether they "),
    ):
        parts = {claim: [line for line in by_claim[claim] if line.verdict == verdict] for claim in does}
        phrases = [f"{does[claim]} on {_place(claim, part, verdict)}" for claim, part in parts.items() if part]
        if phrases:
            clauses.append(opens.format("they" if clauses else subject) + joins.join(phrases))
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def _place(claim: str, part: Sequence[Any], verdict: str) -> str:
    """Where a verdict holds, and the differences seen there: both data sets (waste8 +1.2 points, TrashNet …)."""
    one = len(part) == 1
    place = part[0].data if one else "both data sets" if verdict == SUPPORTED else "either data set"
    known = [line for line in part if claim in DIFFERENCES and not math.isnan(line.value)]
    seen = [("" if one else f"{line.data} ") + number(line.value / 100, "points", signed=True) for line in known]
    return f"{place} ({', '.join(seen)})" if seen else place
