"""The cards and checklists: their links lead somewhere, their counts are those of the committed folds."""

import re
from pathlib import Path

import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def tables(text):
    """Every table of a page as a list of rows, each a list of cells; the first is the header."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()] for block in blocks]
    return [[table[0], *table[2:]] for table in rows]


def table(text, *header):
    """The one table whose header begins so, as a frame of text."""
    found = [rows for rows in tables(text) if tuple(rows[0][: len(header)]) == header]
    assert len(found) == 1, header
    return pd.DataFrame(found[0][1:], columns=found[0][0])


def numbers(frame):
    return frame.apply(lambda column: column.str.replace(",", "").astype(int))


def anchors(path):
    """The anchors that GitHub and the site give a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    """Files exist inside the project; an anchor in a Markdown page is one of its headings."""
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT) and target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


def committed(file):
    """A CSV of data/splits, with the photographs' classes."""
    found = pd.read_csv(ROOT / "data" / "splits" / file, keep_default_na=False)
    found["class"] = found["image"].str.split("/").str[0]
    return found


both_cards = pytest.mark.parametrize(
    "page, file", [("data_card.md", "trashnet.csv"), ("data_card_waste8.md", "waste8.csv")]
)


@both_cards
def test_composition(page, file):
    """Photographs, excluded, used and with a twin, per class and in all; the imbalance."""
    photographs = committed(file)
    used = photographs[~photographs["excluded"]]
    twin = used.groupby("group")["image"].transform("size") > 1
    counts = pd.DataFrame(
        {
            "photographs": photographs["class"].value_counts(),
            "excluded": photographs.groupby("class")["excluded"].sum(),
            "used": used["class"].value_counts(),
            "with a twin": twin.groupby(used["class"]).sum(),
        }
    )
    counts.loc["all"] = counts.sum()
    card = numbers(table(read(page), "class", "photographs").set_index("class"))
    pd.testing.assert_frame_equal(card, counts, check_dtype=False, check_names=False)
    largest, smallest = used["class"].value_counts().iloc[[0, -1]]
    assert f"{largest / smallest:.1f} times" in read(page)


def test_groups():
    """The sentences on TrashNet's groups."""
    text, photographs = " ".join(read("data_card.md").split()), committed("trashnet.csv")
    used = photographs[~photographs["excluded"]]
    sizes, before = used.groupby("group").size(), photographs.groupby("group").size()
    classes = used.groupby("group")["class"].agg(lambda names: tuple(sorted(set(names))))
    assert f"The {len(used):,} photographs form {len(sizes):,} groups; {(sizes > 1).sum()} groups hold two" in text
    assert f"or more, {sizes[sizes > 1].sum()} photographs together. The largest holds {sizes.max()}, cardboard" in text
    assert f"{(before > 1).sum()} groups of two or more with {before[before > 1].sum()} photographs" in text
    assert classes[classes.str.len() > 1].tolist() == [("glass", "metal")] * 2
    cardboard = used[(used["fold"] == 0) & (used["class"] == "cardboard")]
    print_of_one = (cardboard["group"] == sizes.idxmax()).sum()
    assert f"{print_of_one} of the {len(cardboard)} photographs of cardboard in fold 0 show one" in text


def test_groups_of_waste8():
    """The sentences on groups, and how many of them hold several classes."""
    text, photographs = " ".join(read("data_card_waste8.md").split()), committed("waste8.csv")
    sizes, classes = photographs.groupby("group").size(), photographs.groupby("group")["class"].nunique()
    assert f"The {len(photographs):,} photographs form {len(sizes):,} groups; {(sizes > 1).sum()} groups hold" in text
    assert f"{sizes[sizes > 1].sum()} photographs together. The largest holds {sizes.max()}:" in text
    assert f"{(classes > 1).sum()} groups hold more than one class" in text
    assert numbers(table(read("data_card_waste8.md"), "pairs")[["pairs"]])["pairs"].sum() == 113
    assert "It finds 113 pairs" in text and not photographs["excluded"].any()


def test_audit_of_waste8():
    """Verdicts per class and in all, with Wilson's intervals."""
    audit, rows = committed("waste8_audit.csv"), []
    for name, part in [*audit.groupby("class"), ("all", audit)]:
        right, doubtful, wrong = ((part["verdict"] == verdict).sum() for verdict in ("right", "doubtful", "wrong"))
        row = [name, len(part), right, doubtful, wrong]
        for errors in (wrong, wrong + doubtful):
            low, high = proportion_confint(errors, len(part), method="wilson")
            row.append(f"{100 * errors / len(part):.1f} [{100 * low:.1f}, {100 * high:.1f}]")
        rows.append(list(map(str, row)))
    assert table(read("data_card_waste8.md"), "class", "looked at").to_numpy().tolist() == rows


@both_cards
def test_folds(page, file):
    """Sizes of the three parts of every fold, and the test part per class; the model card's range of training parts."""
    photographs = committed(file)
    used = photographs[~photographs["excluded"]]
    counts = pd.crosstab(used["fold"], used["class"])
    test, validation = used["fold"].value_counts(), used["validation_for"].value_counts().drop(-1)
    parts = pd.DataFrame({"training": len(used) - test - validation, "validation": validation, "test": test})
    card = numbers(table(read(page), "fold", "training")).set_index("fold")
    pd.testing.assert_frame_equal(card, parts.join(counts), check_dtype=False, check_names=False)
    if file == "trashnet.csv":
        assert f"{parts['training'].min():,} to {parts['training'].max():,} photographs" in read("model_card.md")


@pytest.mark.parametrize(
    "section, first, count",
    [
        ("NeurIPS paper checklist", "question", 16),
        ("Papers with Code: ML code completeness", "item", 5),
        ("Machine learning reproducibility checklist", "item", 21),
    ],
)
def test_every_line_is_answered(section, first, count):
    """Each item once, with an answer and a link into the project; a no says why."""
    text = read("checklists.md").split(f"\n## {section}\n")[1].split("\n## ")[0]
    lines = table(text, "no.", first, "answer", "where", "remark")
    assert "](https://" in text.split("|")[0]
    assert len(lines) == lines["no."].nunique() == count
    assert lines["answer"].isin(["yes", "no", "not applicable"]).all()
    assert (lines["answer"].eq("yes") | lines["remark"].ne("")).all()
    for cell in lines["where"]:
        assert [link for link in LINK.findall(cell) if not re.match(r"[a-z]+:", link)], cell


def test_answers_on_the_table_of_results_follow_the_readme():
    """A table of results is claimed exactly when README has one."""
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- verdicts:")[1].split("<!-- end of verdicts")[0]
    lines = re.findall(r"^\|.*README with a table of results.*\|$", read("checklists.md"), re.MULTILINE)
    answers = [line.split("|")[3].strip() for line in lines]
    assert answers == ["yes" if tables(part) else "no"] * 2, "docs/checklists.md: change both lines and their remarks"


def test_model_card_has_one_generated_part():
    text = read("model_card.md")
    begin, end = "<!-- model card: generated by python -m paper_repro.evidence.ledger -->", "<!-- end of model card -->"
    assert text.count(begin) == text.count(end) == 1 and text.index(begin) < text.index(end)


def test_tables_of_the_embedded_photographs():
    """What gives the class away, and how real the pictures look, as they were measured."""
    card, scenes = read("data_card.md"), ROOT / "data" / "scenes"
    found = 100 * pd.read_csv(scenes / "independence.csv", index_col="seen").drop(columns="pictures")
    rows = [[name, f"{value:.1f} [{low:.1f}, {high:.1f}]"] for name, (value, low, high) in found.T.items()]
    assert table(card, "what is seen").to_numpy().tolist() == rows
    judged = pd.read_csv(scenes / "judged.csv", dtype=str)
    assert table(card, "pictures", "photograph").to_numpy().tolist() == judged.to_numpy().tolist()


@pytest.mark.parametrize("arm", ["none", "stage"])
def test_shares_on_photographs_of_another_kind(arm):
    """The model card's table holds what was measured on waste8."""
    measured = pd.read_csv(ROOT / "results" / "reference" / "networks" / "elsewhere.csv").set_index("part")
    measured = measured[measured["network"] == f"package:trashnet/{arm}"]
    written = table(read("model_card.md"), "photographs", "`none`: marked as unlike, %").set_index("photographs")
    named = {
        "with a counterpart": "corresponding",
        "with a counterpart, not marked": "corresponding, unmarked",
        "with a counterpart, marked": "corresponding, marked",
    }
    assert [named.get(name, name) for name in written.index] == list(measured.index)
    for (part, found), (_, cells) in zip(measured.iterrows(), written.iterrows(), strict=True):
        for column, cell in (
            ("marked", cells[f"`{arm}`: marked as unlike, %"]),
            ("accuracy", cells[f"`{arm}`: right, %"]),
        ):
            if pd.isna(found[column]) or (column == "marked" and "marked" in part):
                assert cell == "–"
            else:
                low, high = found[f"{column}_low"], found[f"{column}_high"]
                assert cell == f"{100 * found[column]:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
