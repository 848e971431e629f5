"""One's own data in the usual shapes: divided into train, val and test, or listed by a CSV; in a folder or a zip."""

import hashlib
import io
import shutil
import unicodedata
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from trainings import TINY

from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.files import ReproError
from paper_repro.keys import data_stamp
from paper_repro.photographs import prepared
from paper_repro.photographs.folders import open_tree
from paper_repro.photographs.folds import load_folds, make_folds, published_folds, split
from paper_repro.photographs.listings import read_rows
from paper_repro.training import data_key, train

SIZE = 16
CONFIG = load_profile("smoke", **TINY)


@pytest.fixture(autouse=True)
def own_cache_of_a_test(tmp_path, monkeypatch):
    """Every test prepares its data itself."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))


def picture(seed: int, kind: str = "PNG") -> bytes:
    """A smooth picture that is like no other; as PPM its bytes depend on no library's version."""
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8))
    buffer = io.BytesIO()
    (small if kind == "PPM" else small.resize((40, 30), Image.Resampling.BICUBIC)).save(buffer, kind)
    return buffer.getvalue()


def write(root, files: dict):
    """Files below a folder, by path; a number stands for its picture."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = picture(content) if isinstance(content, int) else content
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def zipped(folder, path, prefix: str = ""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


def in_every_packing(folder, tmp_path):
    """The folder, and it below a wrapping folder and in zips."""
    shutil.copytree(folder, tmp_path / "wrapped" / "inner")
    return {
        "folder": folder,
        "wrapped folder": tmp_path / "wrapped",
        "zip": zipped(folder, tmp_path / "plain.zip"),
        "wrapped zip": zipped(folder, tmp_path / "inner.zip", "inner/"),
    }


@pytest.fixture(autouse=True)
def quiet():
    """Any warning but those that a test asks for is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        yield


def test_class_folders_have_the_numbers_they_had(tmp_path):
    """Names, fingerprint, folds and key of the data of this tree as the code before divided data gave them."""
    files = {f"{'glass' if n < 24 else 'metal'}/{n:02}.ppm": picture(n, "PPM") for n in range(48)}
    files["metal/23.ppm"] = picture(0, "PPM")  # under two labels
    files["metal/48.ppm"] = picture(30, "PPM")  # twice
    dataset = load_dataset(write(tmp_path / "tree", files), SIZE)
    folds = make_folds(dataset.table, 5, 3)
    assert list(dataset.table) == ["image", "truth", "label", "bytes", "width", "height", "sha256", "group", "excluded"]
    assert dataset.fingerprint == FINGERPRINT
    assert hashlib.sha256(folds.to_csv(index=False, lineterminator="\n").encode()).hexdigest() == FOLDS
    assert data_key(dataset, folds) == hashlib.sha256(f"{FINGERPRINT}".encode() + folds_text(folds)).hexdigest()


def folds_text(folds) -> bytes:
    return folds.to_csv(index=False, lineterminator="\n").encode()


FINGERPRINT = "9f5ebd5c2695e29e170e703a8c32ac635afba361f50f67adf8807d059e7256bf"
FOLDS = "996f38fb50553384ad0bd7fb64666980672034ca979146c29a8ddaa32dd6f68a"

# ---- divided into train, val and test ---------------------------------------------------------------------------


def divided(root, names=("train", "val", "test"), counts=(6, 3, 3)):
    """Two classes, so many pictures of each in each part."""
    files, number = {}, 0
    for part, count in zip(names, counts, strict=True):
        for label in ("glass", "metal"):
            for _ in range(count):
                files[f"{part}/{label}/{number}.png"] = number
                number += 1
    return write(root, files)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "valid", "TESTING"), ("train", "dev", "test")]
)
def test_divided_folders_keep_their_split(tmp_path, names):
    """However the parts are called and packed; every picture is in the part and class of its folders."""
    fingerprints = set()
    for packing, source in in_every_packing(divided(tmp_path / "data", names), tmp_path).items():
        dataset = load_dataset(source, SIZE)
        with pytest.warns(UserWarning, match=r"kept, as fold 0 and the only one \(12 train, 6 validation, 6 test"):
            folds = load_folds(dataset, CONFIG)
        assert dataset.classes == ("glass", "metal"), packing
        for name, rows, there in zip(names, vars(split(folds, 0)).values(), (12, 6, 6), strict=True):
            images = dataset.table.iloc[rows]
            assert len(rows) == there and (images["image"].str.split("/").str[1] == name).all()
            assert (images["image"].str.split("/").str[0] == images["label"]).all()
        fingerprints.add(dataset.fingerprint)
    assert len(fingerprints) == 1


def test_without_val_the_validation_part_comes_from_train(tmp_path):
    """Grouped and seeded; test is untouched; as large a share as in folds; the line says so."""
    divided(tmp_path / "data", ("train", "test"), (16, 4))
    for number in range(4):  # twins of training pictures
        (tmp_path / "data" / "train" / "glass" / f"twin{number}.png").write_bytes(picture(number))
    dataset = load_dataset(tmp_path / "data", SIZE)
    found = {}
    for repeat in (0, 1):
        with pytest.warns(UserWarning, match=r"validation \(taken from train\), 8 test photographs\)"):
            folds = load_folds(dataset, CONFIG, repeat)
        parts = split(folds, 0)
        train_part, validation, test = (dataset.table.iloc[rows] for rows in vars(parts).values())
        assert (test["part"] == "test").all() and len(test) == 8
        assert (pd.concat([train_part, validation])["part"] == "train").all()
        assert not set(train_part["group"]) & set(validation["group"])
        assert set(validation["label"]) == {"glass", "metal"} and 7 <= len(validation) <= 11  # a quarter of 36
        found[repeat] = folds_text(folds)
    with pytest.warns(UserWarning):
        assert folds_text(load_folds(dataset, CONFIG, 0)) == found[0] != found[1]


def test_near_duplicates_across_the_split_are_counted_and_stay(tmp_path):
    """Two test pictures and one validation picture are copies of training pictures."""
    divided(tmp_path / "data")
    for part, number in (("test", 0), ("test", 1), ("val", 2)):
        (tmp_path / "data" / part / "glass" / f"copy{number}.png").write_bytes(picture(number))
    dataset = load_dataset(tmp_path / "data", SIZE)
    with pytest.warns(
        UserWarning, match="2 of test have near-duplicates in train or validation, 1 of validation in train"
    ):
        parts = split(load_folds(dataset, CONFIG), 0)
    assert [len(rows) for rows in vars(parts).values()] == [12, 7, 8]


def test_only_fold_0_can_be_asked_for(tmp_path):
    """By name of the reason, before any training."""
    config = load_profile("smoke", data=str(divided(tmp_path / "data")), **TINY)
    with (
        pytest.warns(UserWarning, match="published split"),
        pytest.raises(ReproError, match="no fold 1: the data come with a split of their own, which is fold 0"),
    ):
        train(config, "none", 1, tmp_path / "out")


def test_a_training_follows_the_split(tmp_path):
    """Its predictions are those of the test folder, and the counts those of the folders."""
    config = load_profile("smoke", data=str(divided(tmp_path / "data")), **TINY | {"epochs": 1, "warmup_epochs": 0})
    with pytest.warns(UserWarning, match="published split"):
        run = train(config, "none", 0, tmp_path / "out")
    assert run.predictions["image"].str.split("/").str[1].eq("test").all()
    assert run.environment["images"] == {"train": 12, "validation": 6, "test": 6}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            ["train a", "train b", "test a", "test c", "train c"],
            "the test part has no photograph of the class 'b': add",
        ),
        (
            ["train a", "train b", "test a", "test b", "test c"],
            "the train part has no photograph of the class 'c': add",
        ),
        (["train a", "train b", "test a", "test b"], "training part has at most 1 .*: have 4 of each at least, or add"),
    ],
)
def test_a_split_that_cannot_work_is_refused(parts, message):
    """With the part and the class."""
    table = pd.DataFrame([part.split() for part in parts], columns=["part", "label"])
    table = table.assign(image=range(len(table)), group=range(len(table)), excluded=False)
    if "at most" not in message:
        more = pd.DataFrame({"part": "validation", "label": "a", "image": [99], "group": 99, "excluded": False})
        table = pd.concat([table, more])
    with pytest.raises(ReproError, match=message):
        published_folds(table, 3, 0)


def test_a_picture_beside_the_class_folders_of_a_part_is_counted(tmp_path):
    """As beside undivided class folders."""
    divided(tmp_path / "data")
    (tmp_path / "data" / "test" / "new.png").write_bytes(picture(99))
    with pytest.warns(UserWarning, match=r"are not read \(1, such as 'test/new.png'\)"):
        assert len(load_dataset(tmp_path / "data", SIZE).images) == 24


# ---- listed by a CSV --------------------------------------------------------------------------------------------

HEADER = "image,label\n"
PICTURES = {"pictures/0.png": 0, "pictures/1.png": 1, "2.png": 2, "pictures/more/3.png": 3}
ROWS = "pictures/0.png,glass\npictures/1.png,glass\n2.png,metal\npictures/more/3.png,metal\n"


def listed(root, text=HEADER + ROWS, name="labels.csv"):
    return write(root, {**PICTURES, name: text}) / name


def test_a_csv_is_read_like_folders(tmp_path):
    """Given by itself, or in a folder or zip beside its pictures: the same data; pictures not listed do not count."""
    path = listed(tmp_path / "data")
    (tmp_path / "data" / "pictures" / "other.png").write_bytes(picture(9))
    sources = in_every_packing(tmp_path / "data", tmp_path) | {"CSV": path}
    datasets = [load_dataset(source, SIZE) for source in sources.values()]
    for dataset in datasets:
        assert dataset.classes == ("glass", "metal") and "part" not in dataset.table
        names = ["glass/pictures/0.png", "glass/pictures/1.png", "metal/2.png", "metal/pictures/more/3.png"]
        assert dataset.table["image"].tolist() == names and dataset.table["truth"].tolist() == [0, 0, 1, 1]
        assert dataset.table["sha256"].tolist() == [hashlib.sha256(picture(n)).hexdigest() for n in range(4)]
        assert dataset.fingerprint == datasets[0].fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + ROWS,
        (HEADER + ROWS).replace(",", ";"),
        (HEADER + ROWS).replace(",", "\t"),
        (HEADER + ROWS).replace("\n", "\r\n"),
        (HEADER + ROWS).replace(",", " , ").replace("metal", '"metal"'),
        (HEADER + ROWS).replace("pictures/", "pictures\\"),
        "\n" + HEADER + "\n" + ROWS + ",\n\n",
        HEADER.replace("image", "File_Name").replace("label", "CLASS") + ROWS + ROWS,
        "label,width,path\n" + "".join(f"{row.split(',')[1]},40,{row.split(',')[0]}\n" for row in ROWS.split()),
        "filename,truth,split\n" + ROWS.replace("\n", ",\n"),
    ],
    ids=["BOM", "semicolon", "tab", "CRLF", "spaces", "backslash", "blank", "names", "order", "no split"],
)
def test_csvs_of_many_programs(tmp_path, text):
    """Other separators, line ends, columns and blank rows give the same data."""
    dataset = load_dataset(listed(tmp_path / "data", text), SIZE)
    assert dataset.table["label"].tolist() == ["glass", "glass", "metal", "metal"]
    assert dataset.fingerprint == load_dataset(listed(tmp_path / "plain"), SIZE).fingerprint


def test_a_split_column_is_kept(tmp_path):
    """As folders train, val and test are."""
    names = {f"{n}.png": n for n in range(12)}
    rows = [f"{n}.png,{'glass' if n % 2 else 'metal'},{('Train', 'valid', 'test')[n // 4]}" for n in range(12)]
    write(tmp_path / "data", {**names, "labels.csv": "path,label,split\n" + "\n".join(rows)})
    dataset = load_dataset(zipped(tmp_path / "data", tmp_path / "data.zip"), SIZE)
    with pytest.warns(UserWarning, match=r"4 train, 4 validation, 4 test photographs"):
        parts = split(load_folds(dataset, CONFIG), 0)
    stems = dataset.table["image"].str.extract(r"(\d+)\.png")[0].astype(int)
    assert [sorted(stems.iloc[rows] // 4) for rows in vars(parts).values()] == [[0] * 4, [1] * 4, [2] * 4]


def test_a_picture_under_two_labels_is_excluded(tmp_path):
    """As in class folders; one that stands twice under one label counts once."""
    text = HEADER + ROWS + "pictures/0.png,metal\n2.png,metal\n"
    table = load_dataset(listed(tmp_path / "data", text), SIZE).table
    assert table.loc[table["excluded"], "image"].tolist() == ["glass/pictures/0.png", "metal/pictures/0.png"]
    assert len(table) == 5


def refused(tmp_path, text, message, **files):
    """Asserts that the CSV is refused in one line, by itself and in a zip."""
    path = listed(tmp_path / "data", text)
    for source in (path, zipped(path.parent, tmp_path / "data.zip")):
        with pytest.raises(ReproError, match=message) as caught:
            load_dataset(source, SIZE)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 700


LONG = "x" * 5000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + ROWS + "gone.png,metal\ngone2.png,metal\n", r"row 6 .* 'gone.png'.* \(and 1 more\): correct"),
        (HEADER + ROWS + "pictures,metal\n", "row 6 of .* 'pictures', which is no file"),
        (HEADER + ROWS + f"{LONG},metal\n", "row 6 of .* 'x{200}', which is no file"),
        (HEADER + ROWS + "\0.png,metal\n", r"row 6 of .*, which is no file"),
        (HEADER + "pictures/0.png,\n" + ROWS, "row 2 of .* has no label: fill it in or delete the row"),
        (HEADER + "pictures/0.png\n" + ROWS, "row 2 of .* has no label"),
        (HEADER + ROWS + ",glass\n", "row 6 of .* has no path"),
        (HEADER + ROWS + "../data/2.png,metal\n", r"row 6 of .* '../data/2.png': its path leads upwards .* below"),
        (HEADER + ROWS + "pictures/../2.png,metal\n", "row 6 of .* leads upwards"),
        (HEADER + ROWS + "pictures\\..\\2.png,metal\n", "row 6 of .* leads upwards"),
        (HEADER + ROWS + "/etc/passwd,metal\n", "row 6 of .* '/etc/passwd': its path is absolute"),
        (HEADER + ROWS + "C:/2.png,metal\n", "row 6 of .* 'C:/2.png': its path starts with a drive letter"),
        ("name,kind\n" + ROWS, r"row 1 of .* names no column of paths \(name, kind\): call one of them image or path"),
        ("image,kind\n" + ROWS, r"row 1 of .* names no column of labels \(image, kind\): call one of them label or"),
        (ROWS, r"row 1 of .* names no column of paths \(pictures/0.png, glass\)"),
        ("image,path,label\n" + ROWS, r"row 1 of .* more than one column of paths \(image, path\): rename all but one"),
        ("image,label,LABEL\n" + ROWS, r"row 1 of .* more than one column of labels \(label, label\)"),
        (HEADER + ROWS + "2.png,metal, old\n", "row 6 of .* has 3 fields for 2 columns: put quotes"),
        (HEADER + ROWS + '2.png,"metal\n', "row 6 of .* is no row of a CSV .*: correct its quotes"),
        (HEADER + ROWS + "2.png,paper/card\n", "row 6 of .* has the label 'paper/card': name the class as one could"),
        (HEADER + ROWS + "2.png,..\n", "row 6 of .* has the label '..'"),
        (HEADER + ROWS + "2.png,Metal\n", "'Metal' and 'metal' in .* are equal but for case"),
        (HEADER + ROWS.replace("metal", "glass"), "only one class, 'glass': give two or more classes"),
        (HEADER, "row 1 of .* is the only one: add a row for each picture"),
        ("", "is empty"),
        ("path,label,split\n" + ROWS.replace("\n", ",hold\n"), "row 2 of .* has the split 'hold': write one of train"),
        ("path,label,split\n" + ROWS.replace("\n", ",\n", 1).replace("l\n", "l,test\n").replace("s\n", "s,train\n"),
         "row 2 of .* has no split, but others have one"),
        ("path,label,split\n" + ROWS.replace("\n", ",train\n"), "the splits of .* lack train or test: add it"),
        ("path,label,split\n" + ROWS.replace("\n", ",train\n") + "2.png,metal,test\n",
         "rows 4 and 6 of .* put '2.png' into two parts: delete one of them"),
        ((HEADER + ROWS + "2.png,métal\n").encode("latin-1"), "row 6 of .* is not in UTF-8: save the file as CSV"),
        ((HEADER + ROWS).encode("utf-16"), "row 1 of .* is not in UTF-8"),
    ],
)  # fmt: skip
def test_a_csv_that_cannot_work_is_refused(tmp_path, text, message):
    """With the row and the remedy."""
    refused(tmp_path, text, message)


def test_a_link_out_of_the_zip_stays_refused(tmp_path):
    """A CSV does not open another way in."""
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("labels.csv", HEADER + "../2.png,glass\n1.png,metal\n")
        archive.writestr("../2.png", picture(2))
        archive.writestr("1.png", picture(1))
    with pytest.raises(ReproError, match="its path leads upwards"):
        load_dataset(tmp_path / "data.zip", SIZE)


def test_decomposed_names_are_found(tmp_path):
    """A Mac stores what the CSV spells in composed letters in another form, and the other way round."""
    names = ["Küche/0.png", "Küche/Müll.png"]
    for stored, written in (("NFD", "NFC"), ("NFC", "NFD")):
        root = tmp_path / stored
        text = HEADER + "".join(f"{unicodedata.normalize(written, name)},Kläss{n}\n" for n, name in enumerate(names))
        files = {unicodedata.normalize(stored, name): number for number, name in enumerate(names)}
        path = write(root, {**files, "labels.csv": text}) / "labels.csv"
        for source in (path, root, zipped(root, tmp_path / f"{stored}.zip")):
            assert load_dataset(source, SIZE).table["image"].tolist() == ["Kläss0/Küche/0.png", "Kläss1/Küche/Müll.png"]


def test_class_folders_come_before_a_csv(tmp_path):
    """They are read as before; a CSV of other labels beside them is named, one of these or of anything else is not."""
    write(tmp_path / "data", {"glass/0.png": 0, "metal/1.png": 1, "notes.csv": "a,b\n1,2\n"})
    (tmp_path / "data" / "same.csv").write_text("image,label\nglass/0.png,glass\n")
    fingerprint = load_dataset(tmp_path / "data", SIZE).fingerprint
    (tmp_path / "data" / "labels.csv").write_text("image,label\nglass/0.png,metal\nmetal/1.png,glass\n")
    with pytest.warns(
        UserWarning, match="'labels.csv' of .* is not read, as class folders give the labels: .* give that"
    ):
        assert load_dataset(tmp_path / "data", SIZE).fingerprint == fingerprint
    assert load_dataset(tmp_path / "data" / "labels.csv", SIZE).table["image"].tolist() == [
        "glass/metal/1.png",
        "metal/glass/0.png",
    ]


def test_folders_that_are_refused_say_so_beside_a_csv_of_something_else(tmp_path):
    """Both remedies are in the line; several CSVs are named."""
    write(tmp_path / "data", {"glass/old/0.png": 0, "metal/1.png": 1, "notes.csv": "a,b\n1,2\n"})
    with pytest.raises(ReproError, match="move such files up .*; or row 1 of 'notes.csv' .* names no column of paths"):
        load_dataset(tmp_path / "data", SIZE)
    write(tmp_path / "data", {"more.csv": HEADER})
    with pytest.raises(ReproError, match=r"several CSV files \('more.csv', 'notes.csv'\) .* give the one that lists"):
        load_dataset(tmp_path / "data", SIZE)


def test_the_stamp_sees_the_csv_its_pictures_and_a_split(tmp_path):
    """Whatever changes what is read changes it; what is not read does not where the CSV itself is given."""
    path = listed(tmp_path / "data")
    for source in (path, tmp_path / "data"):
        stamps = [data_stamp(str(source))]
        path.write_text(HEADER + ROWS.replace("2.png,metal", "2.png,glass"))
        stamps.append(data_stamp(str(source)))
        (tmp_path / "data" / "pictures" / "0.png").write_bytes(picture(8) + b" ")
        stamps.append(data_stamp(str(source)))
        (tmp_path / "data" / "2.png").write_bytes(picture(9) + b" ")
        stamps.append(data_stamp(str(source)))
        assert len(set(stamps)) == 4
        listed(tmp_path / "data")
    before = data_stamp(str(path))
    (tmp_path / "data" / "unlisted.png").write_bytes(picture(7))
    assert data_stamp(str(path)) == before
    root = divided(tmp_path / "divided")
    stamps = [data_stamp(str(root))]
    (root / "train" / "glass" / "0.png").rename(root / "val" / "glass" / "0.png")
    assert data_stamp(str(root)) != stamps[0]


def test_the_label_and_the_part_are_part_of_what_a_run_learns_from(tmp_path):
    """A changed label changes the fingerprint, a changed part the folds, while the pictures stay prepared."""
    text = "path,label,split\n" + "".join(f"{n}.png,{'ab'[n % 2]},{'train' if n < 8 else 'test'}\n" for n in range(12))
    path = write(tmp_path / "data", {**{f"{n}.png": n for n in range(12)}, "x.csv": text}) / "x.csv"
    first = load_dataset(path, SIZE)
    path.write_text(text.replace("0.png,a,train", "0.png,a,test", 1))
    second = load_dataset(path, SIZE)
    path.write_text(text.replace("0.png,a", "0.png,b", 1))
    third = load_dataset(path, SIZE)
    assert first.fingerprint == second.fingerprint != third.fingerprint
    folds = [published_folds(dataset.table, 2, 0) for dataset in (first, second)]
    assert data_key(first, folds[0]) != data_key(second, folds[1])


def test_rows_are_numbered_as_in_a_spreadsheet():
    """Blank rows count, and a field of two lines is one row."""
    rows = read_rows(b'image,label\n\n"a\nb.png",glass\nc.png,metal\n', "x.csv")
    assert [row.number for row in rows] == [3, 4]


def test_an_entry_of_class_folders_has_no_part(tmp_path):
    """So nothing changes for them."""
    with open_tree(write(tmp_path / "data", {"glass/0.png": 0, "metal/1.png": 1})) as tree:
        assert [entry.part for entry in tree.entries] == ["", ""]


def test_a_second_look_at_divided_data_decodes_nothing(tmp_path, monkeypatch):
    """The part is no reason to prepare the pictures anew."""
    root = divided(tmp_path / "data")
    load_dataset(root, SIZE)
    monkeypatch.setattr(prepared, "square_picture", None)
    assert load_dataset(root, SIZE).table["part"].value_counts().to_dict() == {"train": 12, "validation": 6, "test": 6}


# ---- too few for the folds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_folds", [2, 3, 5, 8])
def test_the_number_in_the_remedy_is_enough(num_folds):
    """2 num_folds independent photographs of each class make folds, alone and with larger classes beside them."""
    rng = np.random.default_rng(num_folds)
    for classes in (2, 3, 7):
        for _ in range(3):
            counts = 2 * num_folds + rng.integers(0, 12, classes) * rng.integers(0, 2, classes)
            label = np.repeat([f"c{number}" for number in range(classes)], counts)
            table = pd.DataFrame({"image": range(len(label)), "label": label, "group": range(len(label))})
            folds = make_folds(table.assign(excluded=False), num_folds, 0)
            assert folds["fold"].nunique() == num_folds


@pytest.mark.parametrize(
    ("count", "num_folds", "fewer"),
    [(1, 5, None), (2, 5, None), (3, 5, 3), (4, 5, 4), (3, 4, 3), (1, 2, None), (2, 2, None)],
)
def test_the_remedy_for_few_photographs_works(count, num_folds, fewer):
    """The number of folds that a message offers can be dealt; where none can, it offers none, as with two folds."""
    label = np.repeat(["a", "b"], [count, 40])
    table = pd.DataFrame({"image": range(len(label)), "label": label, "group": range(len(label)), "excluded": False})
    with pytest.raises(ReproError, match=f"have {2 * num_folds} independent photographs of each class") as caught:
        make_folds(table, num_folds, 0)
    assert ("set num_folds" in str(caught.value)) == (fewer is not None)
    if fewer:
        assert f"set num_folds to {fewer} and folds to numbers below {fewer}" in str(caught.value)
        assert make_folds(table, fewer, 0)["fold"].max() == fewer - 1


def test_no_photographs_at_all_are_no_fold():
    """A data set whose training part is excluded as a whole is refused by its number, 0."""
    table = pd.DataFrame({"image": [0, 1], "label": ["a", "b"], "group": [0, 0], "excluded": True})
    dataset = SimpleNamespace(name="x", table=table.assign(part=["train", "test"]))
    with pytest.raises(ReproError, match="at most 0 independent photographs"):
        load_folds(dataset, CONFIG)
