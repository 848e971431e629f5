"""The finding in words: every outcome of every line, and the table of verdicts."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from paper_repro.evidence import finding
from paper_repro.evidence.finding import MARK, SENTENCES
from paper_repro.files import project_root

LEDGER = pd.read_csv(project_root() / "results" / "reference" / "ledger.csv")
OPENS = {
    "do not ": "not supported",
    "it is open whether ": "not decidable here",
    "it is not measured": "not measured yet",
}
CLAIMS = [claim for _, _, does in SENTENCES for claim in does]
CLAIM_OF = {phrase: claim for _, _, does in SENTENCES for claim, phrase in does.items()}


def ledger(verdicts, others="supported", value=np.nan):
    """The lines of the ledger with the verdicts of (claim, data), and one verdict for all others."""
    lines = [verdicts.get(line, others) for line in zip(LEDGER["claim"], LEDGER["data"], strict=True)]
    return LEDGER.assign(verdict=lines, value=value)


def said(sentences):
    """What the sentences say, read back: {(claim, data): verdict}."""
    found = {}
    for clause in "; ".join(sentences).split("; "):
        verdict = next(
            (verdict for opens, verdict in OPENS.items() if opens in f"{clause[0].lower()}{clause[1:]}"), "supported"
        )
        for phrase in sorted(CLAIM_OF, key=len, reverse=True):
            start, _, rest = clause.partition(f"{phrase} on ")
            if not rest:
                continue
            clause, place = start + rest, rest.removesuffix(".")
            both = place.startswith(("both data sets", "either data set"))
            for data in ("waste8", "TrashNet") if both else ("waste8", "TrashNet", "this machine"):
                if both or place.startswith(data):
                    assert (CLAIM_OF[phrase], data) not in found
                    found[CLAIM_OF[phrase], data] = verdict
    return found


def lines_of(claims):
    part = LEDGER[LEDGER["claim"].isin(claims) & (LEDGER["data"] != "both")]
    return list(zip(part["claim"], part["data"], strict=True))


def test_every_line_has_its_phrase():
    assert sorted(CLAIMS) == sorted(LEDGER["claim"].unique()) and len(SENTENCES) == 6


@pytest.mark.parametrize(("topic", "subject", "does"), SENTENCES, ids=[topic for topic, *_ in SENTENCES])
def test_every_outcome_of_a_sentence(topic, subject, does):
    """Read back, a sentence says of each line what the ledger says; where nothing is measured, the topic."""
    lines = lines_of(does)
    for verdicts in product(MARK, repeat=len(lines)):
        expected = dict(zip(lines, verdicts, strict=True))
        sentences = finding.finding(ledger(expected))
        assert len(sentences) == 6
        assert all(text.endswith(".") and text[0].isupper() and "nan" not in text for text in sentences)
        if set(verdicts) == {"not measured yet"}:
            assert sentences[-1] == f"Not measured yet: {topic}."
            expected = {}
        others = {line: "supported" for line in lines_of(set(CLAIMS) - set(does))}
        assert said(sentences) == expected | others


@pytest.mark.parametrize("verdict", MARK)
def test_all_alike(verdict):
    """At most six sentences; nothing measured is one."""
    sentences = finding.finding(ledger({}, verdict))
    assert len(sentences) == (1 if verdict == "not measured yet" else 6)


def test_words():
    """Differences stand beside their data set; the subject is named once, then it is they."""
    mixed = {("C1", "TrashNet"): "not decidable here", ("C1, at convergence", "TrashNet"): "not supported"}
    first, second, *_ = finding.finding(ledger(mixed, value=5.6))
    assert first == (
        "Networks with one attention module per stage beat the plain ResNet50 on waste8 (+5.6 points); they do not "
        "beat it after three times as many epochs on TrashNet (+5.6 points); it is open whether they beat the plain "
        "ResNet50 on TrashNet (+5.6 points)."
    )
    assert second.startswith("They beat all controls without attention on both data sets and beat all of AlexNet")
    refuted = finding.finding(ledger({}, "not supported", value=-1.0))
    assert "do not beat the plain ResNet50 on either data set (waste8 −1.0 points, TrashNet −1.0 points)" in refuted[0]
    assert refuted[4] == "The blocks of a stage do not ask for the same attention on either data set."
    assert finding.finding(ledger({}, "not decidable here"))[5].startswith(
        "It is open whether Grad-CAM's heat maps point"
    )


def test_table_of_verdicts():
    """A row per claim; each verdict has its mark, its words and its data sets."""
    rows = {row[0]: row for row in finding.verdicts(ledger({("C3", "waste8"): "not supported"}))}
    assert list(rows) == list(LEDGER["claim"].unique())
    assert rows["C1"][2] == "**✔ supported** on waste8 (confirmatory) and TrashNet"
    assert rows["C3"][2] == "**✘ not supported** on waste8; **✔ supported** on TrashNet"
    assert rows["C4, beside none"][2] == "**✔ supported** on this machine"
    assert finding.verdicts(ledger({}, "not measured yet"))[0][2] == "**– not measured yet**"


def test_front_page_is_short():
    """What this is, the picture, what was found, the commands and three doors come first, in this order."""
    text = (project_root() / "README.md").read_text(encoding="utf-8")
    order = [
        "docs/gallery.png",
        "<!-- finding:",
        "make reproduce",
        "**learn**",
        "**use it on your own",
        "<!-- verdicts:",
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places) and text.count("\n") <= 150 and "OWNER" not in text


def test_front_page_quotes_the_first_edition():
    """Its differences, as they stand in the kept tables."""
    text = " ".join((project_root() / "README.md").read_text(encoding="utf-8").split())
    table = pd.read_csv(project_root() / "results" / "reference" / "second_rules" / "contrasts.csv")
    rows = table[table["family"].isin(["main", "others"])].set_index(["a", "b"])
    for pair, words in ((("none", "stage"), "by 5.6 points of accuracy"), (("none", "half"), "gained 4.0 points")):
        value, low, high = 100 * rows.loc[pair, ["difference", "low", "high"]].astype(float)
        assert f"{value:.1f}" in words and f"{words} [{low:+.1f}, {high:+.1f}]" in text
    pretrained = "+0.0 points [-2.6, +2.7]"
    assert pretrained in text
    assert f"stage minus none {pretrained}" in (project_root() / "docs" / "results.md").read_text(encoding="utf-8")
