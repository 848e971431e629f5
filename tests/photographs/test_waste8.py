"""waste8: its committed lists fit one another, it is recognised by its names, and every file is checked."""

import hashlib
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from paper_repro.config import load_profile
from paper_repro.data import Dataset, load_dataset
from paper_repro.files import ReproError
from paper_repro.keys import learning_rate
from paper_repro.photographs import folds, waste8
from paper_repro.photographs.folds import COMMITTED, committed_folds, committed_set, load_folds, split

COUNTS = {
    "Aluminium": 334,
    "Carton": 323,
    "Glass": 333,
    "Organic Waste": 210,
    "Other Plastics": 315,
    "Paper and Cardboard": 397,
    "Textiles": 335,
    "Wood": 341,
}


# ---- the committed lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("repeat", [0, 1])
def test_folds_are_whole(repeat):
    """All photographs, no group in two parts, classes balanced, every class in every part."""
    table = committed_folds("waste8", repeat)
    label = table["image"].str.split("/").str[0]
    assert table["image"].nunique() == len(table) == 2588
    assert label.value_counts().to_dict() == COUNTS
    assert not table["excluded"].any()
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    assert (table.groupby("group")["validation_for"].nunique() == 1).all()
    assert pd.crosstab(table["fold"], label, normalize="columns").stack().between(0.19, 0.21).all()
    for fold in range(5):
        parts = split(table, fold)
        assert sum(map(len, vars(parts).values())) == 2588
        assert all(set(label.iloc[rows]) == set(COUNTS) for rows in vars(parts).values())


def test_repeats_share_groups_and_not_folds():
    first, second = committed_folds("waste8", 0), committed_folds("waste8", 1)
    assert first[["image", "group", "excluded"]].equals(second[["image", "group", "excluded"]])
    assert (first["fold"] == second["fold"]).mean() < 0.4


def test_folds_are_those_of_the_packages_own_dealing():
    """The committed files are what `make_folds` gives for the groups, with seed 0 and 1."""
    for repeat in (0, 1):
        table = committed_folds("waste8", repeat)
        table["label"] = table["image"].str.split("/").str[0]
        pd.testing.assert_frame_equal(folds.make_folds(table, 5, repeat), table.drop(columns="label"))


def test_every_photograph_has_its_checksum():
    listing = pd.read_csv(waste8.LISTING)
    assert sorted(listing["path"]) == sorted(committed_folds("waste8")["image"])
    assert listing["sha256"].str.fullmatch(r"[0-9a-f]{64}").all() and (listing["bytes"] > 0).all()


def test_audit_names_the_photographs_that_the_seed_draws():
    """200 of all, each with a verdict; what is not right has a note."""
    audit = pd.read_csv(COMMITTED / "waste8_audit.csv", keep_default_na=False)
    assert audit["image"].tolist() == committed_folds("waste8")["image"].sample(200, random_state=0).tolist()
    assert set(audit["verdict"]) <= {"right", "doubtful", "wrong"}
    assert (audit["verdict"].eq("right") | audit["note"].ne("")).all()


# ---- recognition ------------------------------------------------------------------------------------------------


@pytest.fixture
def two_known_sets(tmp_path, monkeypatch):
    """Made data sets whose committed folds lie in another place: (folder of one's photographs, its table)."""
    committed, rng = tmp_path / "splits", np.random.default_rng(0)
    committed.mkdir()
    monkeypatch.setattr(folds, "COMMITTED", committed)
    classes = {"trashnet": ("glass", "metal"), "rendered": ("paper", "trash"), "waste8": ("Glass", "Organic Waste")}
    for name, labels in classes.items():
        table = pd.DataFrame({"image": [f"{label}/a ({n:02}).png" for label in labels for n in range(20)]})
        table["group"] = np.arange(40)[::-1] // 2
        table["fold"] = (np.arange(40) // 2 + 1) % 5
        table["validation_for"], table["excluded"] = -1, table["group"] == 7
        table.to_csv(committed / f"{name}.csv", index=False)
    photographs = tmp_path / "any name"
    for image in table["image"]:
        (photographs / image).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(photographs / image)
    return photographs, table


def test_recognised_by_its_names(two_known_sets, monkeypatch, tmp_path):
    """Groups, exclusions and folds are the committed ones; one photograph less and it is a data set like any other."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))
    photographs, table = two_known_sets
    dataset = load_dataset(photographs, 32)
    assert dataset.name == "waste8"
    assert dataset.table[["image", "group", "excluded"]].equals(table[["image", "group", "excluded"]])
    assert load_folds(dataset, load_profile("waste8")).equals(table)
    (photographs / table["image"][0]).unlink()
    dataset = load_dataset(photographs, 32)
    assert dataset.name == "any name" and not dataset.table["excluded"].any()


def test_each_committed_set_is_told_from_the_others():
    for name in folds.COMMITTED_SETS:
        images = committed_folds(name)["image"]
        assert committed_set(images.sample(frac=1, random_state=0)) == name
        assert committed_set(images[1:]) is None


def test_a_name_alone_makes_no_known_data_set():
    """A folder called waste8 with other photographs gets folds of its own."""
    rows = [{"image": f"{label}/{n}.jpg", "label": label} for label in ("glass", "metal") for n in range(20)]
    table = pd.DataFrame(rows).assign(group=range(40), excluded=False)
    dataset = Dataset("waste8", ("glass", "metal"), np.empty(0), table, None, None, "")
    found = load_folds(dataset, load_profile("waste8"))
    assert found["image"].equals(table["image"]) and found["fold"].nunique() == 5


def test_profile_is_the_recipe_of_cpu_with_one_rate():
    """Only the data, the repeats and the rates differ; all arms have the rate of the protocol."""
    cpu, config = load_profile("cpu").model_dump(), load_profile("waste8")
    assert {key for key, value in config if value != cpu[key]} == {"data", "repeats", "learning_rates"}
    assert {learning_rate(config, arm) for arm in config.arms} == {0.015}
    assert config.repeats == [0, 1] and config.data.endswith("waste8.zip")


# ---- the command ------------------------------------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path):
    """(folder, listing) of a made clone; it holds another class and another folder as well."""
    folder = tmp_path / "clone"
    contents = {f"{label}/photo ({n}).jpg": f"{label} {n}".encode() for label in ("Glass", "Wood") for n in range(3)}
    for name, content in (contents | {"Plastic/other.jpg": b"not listed"}).items():
        path = folder / waste8.FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "README.md").write_text("made")
    rows = [(name, len(content), hashlib.sha256(content).hexdigest()) for name, content in contents.items()]
    return folder, pd.DataFrame(rows, columns=["path", "bytes", "sha256"])


def zipped(folder, path, wrapper):
    """As GitHub makes its archives: all in one folder."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in folder.rglob("*"):
            archive.write(file, f"{wrapper}/{file.relative_to(folder).as_posix()}")
    return path


def test_clone_and_archive_give_the_same_zip(clone, tmp_path):
    """The listed photographs alone, under the names of the local edition, and the same bytes every time."""
    folder, listing = clone
    archive = zipped(folder, tmp_path / "archive.zip", f"WasteClassificationNeuralNetwork-{waste8.COMMIT}")
    waste8.take(folder, tmp_path / "a.zip", listing)
    waste8.take(archive, tmp_path / "b.zip", listing)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as made:
        assert made.namelist() == [f"waste8/{path}" for path in listing["path"]]
        assert made.read("waste8/Wood/photo (2).jpg") == b"Wood 2"


def spoil(folder):
    """One photograph is missing, one longer, one of the same size differs."""
    photographs = folder / waste8.FOLDER
    (photographs / "Glass/photo (0).jpg").unlink()
    (photographs / "Glass/photo (1).jpg").write_bytes(b"longer than before")
    (photographs / "Wood/photo (2).jpg").write_bytes(b"Wood 3")


@pytest.mark.parametrize("as_zip", [False, True])
def test_missing_and_different_files_are_named(clone, tmp_path, as_zip):
    """With the remedy; an earlier zip stays, and nothing else is left beside it."""
    folder, listing = clone
    spoil(folder)
    source, remedy = folder, f"checkout --force {waste8.COMMIT}"
    if as_zip:
        source, remedy = zipped(folder, tmp_path / "archive.zip", "w"), f"archive/{waste8.COMMIT}.zip"
    out = tmp_path / "made" / "out.zip"
    out.parent.mkdir()
    out.write_bytes(b"earlier")
    with pytest.raises(ReproError) as error:
        waste8.take(source, out, listing)
    text = str(error.value)
    assert text.startswith(f"3 of the 6 photographs of waste8 are not in {source}")
    assert "'Glass/photo (0).jpg' is missing\n" in text
    assert "'Glass/photo (1).jpg' has 18 bytes instead of 7\n" in text
    assert "'Wood/photo (2).jpg' has another sha256\n" in text
    assert text.endswith(remedy)
    assert [path.name for path in out.parent.iterdir()] == ["out.zip"] and out.read_bytes() == b"earlier"


def test_many_missing_files_are_counted(clone, tmp_path):
    """A folder that is no clone: the first files by name, the others by number."""
    listing = pd.concat([clone[1]] * 5)
    with pytest.raises(ReproError, match=r"30 of the 30 .*\n(  '.*' is missing\n){20}  and 10 more\n"):
        waste8.take(tmp_path / "clone" / "WasteImagesDataset", tmp_path / "out.zip", listing)
    assert not (tmp_path / "out.zip").exists()


def test_the_source_is_not_overwritten(clone, tmp_path):
    folder, listing = clone
    archive = zipped(folder, tmp_path / "archive.zip", "w")
    before = archive.read_bytes()
    with pytest.raises(ReproError, match="give another name"):
        waste8.take(archive, archive, listing)
    assert archive.read_bytes() == before


def test_command_says_what_is_wrong(clone, tmp_path):
    """The users' mistake has exit status 2 and no traceback; a made clone lacks the real photographs."""
    folder, _ = clone
    command = [sys.executable, "-m", "paper_repro.photographs.waste8", folder, tmp_path / "out.zip"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "error: 2588 of the 2588 photographs of waste8 are not in" in result.stderr
