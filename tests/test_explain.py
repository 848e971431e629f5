"""`paper-repro explain`: photographs of every kind, what the page says of them, and what is refused."""

import sys
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from packages import make_packages
from PIL import Image
from PIL.ExifTags import Base

from paper_repro import __main__, runs
from paper_repro.explain import Answer, about, arms_of, explain, open_network, remarks
from paper_repro.files import ReproError
from paper_repro.runs import load_run
from paper_repro.trust import load_familiar


@pytest.fixture(scope="module", autouse=True)
def packages(photographs, tmp_path_factory):
    """Tiny networks in the place of those that come with the project."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "PACKAGED", tmp_path_factory.mktemp("networks"))
        yield make_packages(photographs, tmp_path_factory.mktemp("runs"))


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """call(*arguments) -> exit status, standard output and error of `paper-repro explain`; offline, with no cache."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "no cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was used"))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["paper-repro", "explain", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            __main__.main()
        return end.value.code, *capsys.readouterr()

    return run


def soup(out):
    return BeautifulSoup((out / "index.html").read_text(encoding="utf-8"), "html.parser")


def test_one_photograph(call, photographs, tmp_path):
    """A table, an overlay and a page: its probabilities are those of `load_run(...).predict`, by name and offline."""
    photograph = photographs / "green [leaf]" / "0.png"
    status, printed, _ = call(photograph, "--network", "made/stage")
    assert status == 0 and "photographs explained: 1; open explained/index.html" in printed
    table = pd.read_csv(tmp_path / "explained" / "predictions.csv")
    predicted = load_run("package:made/stage").predict(photograph)
    assert np.allclose(table.filter(regex="^p_"), predicted, atol=1e-3)
    assert table["predicted"][0] == predicted.iloc[0].idxmax()
    (overlay,) = (tmp_path / "explained" / "overlays").iterdir()
    assert Image.open(overlay).size == (2 * 320, 384)  # photograph and map, in the photograph's own shape
    assert not (tmp_path / "no cache").exists()


def test_two_networks_side_by_side(call, photographs, tmp_path):
    """The page has a map of each for every photograph, with a text for those who do not see it, and loads nothing."""
    status, *_ = call(photographs / "rötlich", "--network", "made/stage", "--compare", "none", "stage")
    page = soup(tmp_path / "explained")
    assert status == 0 and len(page.select("article")) == 16
    for card in page.select("article"):
        assert [image["alt"].split(" for ")[0] for image in card.select("img")][1:] == ["Map of none", "Map of stage"]
        assert all(image["src"].startswith("data:image/jpeg;base64,") for image in card.select("img"))
    assert not page.select("script, link, iframe") and "http" not in page.decode().replace("data:", "")
    table = pd.read_csv(tmp_path / "explained" / "predictions.csv")
    assert table["network"].value_counts().to_dict() == {"none": 16, "stage": 16}
    assert "grid 4×4" in page.select("figcaption")[1].text


def test_class_folders_give_the_accuracy(call, photographs, tmp_path):
    """With its interval, the confusion matrix and links to the worst mistakes; from a zip with folders in capitals."""
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in photographs.glob("*/*.png"):
            file.write(path, f"set/{path.parent.name.upper()}/{path.name}")
    status, *_ = call(archive, "--network", "made/none")
    page, table = soup(tmp_path / "explained"), pd.read_csv(tmp_path / "explained" / "predictions.csv")
    right = (table["truth"] == table["predicted"]).mean()
    assert status == 0 and f"{right:.1%} of 48 answers are right (95% interval" in page.text
    counts = [[int(cell.text) for cell in row.select("td")] for row in page.select("table")[0].select("tbody tr")]
    assert np.sum(counts) == 48 and np.trace(counts) == round(right * 48)
    mistakes = page.select("main > ul a")
    assert len(mistakes) == min(12, round((1 - right) * 48))
    assert all(page.select(link["href"]) for link in mistakes)


def test_without_class_folders_nothing_is_said_of_accuracy(call, photographs, tmp_path):
    """A folder whose name is no class leaves the truth unknown for all."""
    for name in ("holiday", "green [leaf]"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "1.png").write_bytes((photographs / "green [leaf]" / "1.png").read_bytes())
    assert call(tmp_path / "mine", "--network", "made/none")[0] == 0
    assert "truth" not in pd.read_csv(tmp_path / "explained" / "predictions.csv")


def test_pictures_of_every_kind(call, tmp_path):
    """Grey, CMYK, 16-bit, transparent and EXIF-turned pictures are read; text, cut, animated and huge ones are named
    at the end with their reason, and the rest is done. Equal names in different folders and strange names are kept
    apart and escaped."""
    mine, picture = tmp_path / "mine", Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
    (mine / "a").mkdir(parents=True)
    (mine / "b").mkdir()
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    picture.save(mine / "a" / "same.jpg")
    picture.save(mine / "b" / "same.jpg", exif=exif)
    picture.convert("CMYK").save(mine / "cmyk.jpg")
    picture.convert("RGBA").save(mine / "alpha.png")
    Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60)).save(mine / "deep.png")
    picture.convert("L").save(mine / "<b onclick='x()'> & \"ü\" .png")
    picture.save(mine / "moving.gif", save_all=True, append_images=[picture.rotate(90)])
    Image.new("1", (12_000, 12_000)).save(mine / "huge.png")
    (mine / "text.jpg").write_text("<html>not found</html>")
    (mine / "cut.jpg").write_bytes((mine / "a" / "same.jpg").read_bytes()[:300])
    (mine / "empty.png").touch()
    (mine / "notes.txt").write_text("no picture by its name")
    status, printed, _ = call(mine, "--network", "made/none")
    assert status == 1 and "photographs explained: 6;" in printed
    reasons = dict(line.removeprefix("not read: ").split(": ", 1) for line in printed.splitlines()[1:])
    assert {name.rpartition("/")[2] for name in reasons} == {
        "moving.gif",
        "huge.png",
        "text.jpg",
        "cut.jpg",
        "empty.png",
    }
    assert "web page" in reasons[f"{mine}/text.jpg"] and "over the limit" in reasons[f"{mine}/huge.png"]
    page = soup(tmp_path / "explained")
    assert not page.select("article b") and "<b onclick='x()'> & \"ü\" .png" in page.text
    shapes = {path.name: Image.open(path).size for path in (tmp_path / "explained" / "overlays").iterdir()}
    assert sorted(name.partition("-")[2] for name in shapes).count("same.jpg") == 2
    assert (768, 256) in shapes.values() and (512, 384) in shapes.values()  # the second one is upright


def test_output_inside_the_input_and_a_second_call(call, photographs, tmp_path):
    """The overlays of the first call are no photographs of the second one, and what it no longer has goes."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("1.png", "2.png"):
        (mine / name).write_bytes((photographs / "rötlich" / name).read_bytes())
    for count in (2, 2, 1):
        if count == 1:
            (mine / "1.png").unlink()
        status, printed, _ = call(mine, "--network", "made/none", "--out", mine / "out")
        assert status == 0 and f"photographs explained: {count};" in printed
        assert len(list((mine / "out" / "overlays").iterdir())) == count


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg"], "nowhere.jpg does not exist: give photographs, folders or zips of them"),
        (["n" * 300], "does not exist"),
        (["empty"], "no photograph in empty: give JPEG or PNG files, or their folder"),
        (
            ["text.jpg"],
            "none of the 1 photographs can be read, such as text.jpg: its content is no known type of picture",
        ),
        (
            ["text.jpg", "--network", "package:made/block"],
            "package:made/block is no network that comes with the project: ",
        ),
        (
            ["text.jpg", "--network", "no/run"],
            "--network: there is no no/run: give the folder of a run, or one of: folds/none",
        ),
        (
            ["text.jpg", "--network", "made/stage", "--layer", "layer9"],
            "--layer: stage has no 'layer9': use one of layer1",
        ),
        (["text.jpg", "--network", "made/stage", "--compare", "none", "blok"], "--compare: 'blok' is no arm"),
        (["text.jpg", "--network", "made/stage", "--compare", "none", "none"], "--compare: none stands there twice"),
        (["text.jpg", "--out", "full"], "--out: full holds other files: give a new or empty folder"),
        (["text.jpg", "--out", "text.jpg"], "--out: text.jpg is no folder: give a new or empty one"),
        (["text.zip"], "data: text.zip is refused: it is no zip"),
    ],
)
def test_refused(call, tmp_path, arguments, message):
    """A mistake is said in one line, before any work, and nothing is written."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    for name in ("text.jpg", "text.zip", "full/letter.txt"):
        (tmp_path / name).write_text("hello")
    if "--network" not in arguments:
        arguments = [*arguments, "--network", "made/stage"]
    status, _, error = call(*arguments)
    last = error.splitlines()[-1]
    assert status == 2 and last.startswith("error: ")
    assert message in last
    assert not (tmp_path / "explained" / "index.html").exists()


def test_default_without_packages(call, tmp_path, monkeypatch):
    """A copy of the project without its networks says so."""
    (tmp_path / "a.jpg").touch()
    monkeypatch.setattr(runs, "PACKAGED", tmp_path / "none")
    assert "package:trashnet/stage is no network that comes with the project: this copy" in call("a.jpg")[2]


def test_what_a_reader_should_know():
    """Every reason to doubt has its sentence, and a sound answer has none."""
    sure, map_ = {"glass": 0.9, "metal": 0.1}, torch.ones(4, 4)
    sound = Answer(sure, "glass", map_, 0.3, False)
    assert remarks({"stage": sound}) == remarks({"stage": sound}, "glass") == []
    other = Answer({"glass": 0.1, "metal": 0.9}, "metal", map_, 0.3, False)
    doubtful = Answer({"glass": 0.4, "metal": 0.3}, "glass", torch.zeros(4, 4), 0.9, True)
    assert remarks({"none": doubtful, "stage": other}, "metal") == [
        "The network none is wrong: it says glass, and the folder says metal.",
        "Unlike what the network none has seen: its answer may be worth nothing here.",
        "The network none is unsure: glass, its answer, has a probability of only 40%.",
        "The map of the network none is empty: at this layer nothing speaks for glass.",
        "The networks disagree: none says glass, stage says metal.",
    ]


def test_first_lines_say_how_far_to_trust_it(packages):
    """What a network was trained on, its accuracy with the interval, and the mark; a run of one's own has no mark."""
    network, metrics = open_network("made/stage"), packages["made/stage"].metrics
    text = "\n".join(about([network]))
    assert (
        "stage was trained on 48 noisy pictures. Networks trained in the same way on a part of them were right" in text
    )
    assert f"{metrics['accuracy']:.1%} of {metrics['images']} others of the same collection (95% interval" in text
    assert "is marked as unlike what a network has seen" in text
    network.run.environment.pop("familiar")
    assert "was not measured" in "".join(about([network._replace(familiar=load_familiar(network.run))]))


def test_arms_of():
    """The arm is the last part of the name that is one."""
    assert arms_of("package:trashnet/stage", ["none", "stage"]) == ["package:trashnet/none", "package:trashnet/stage"]
    assert arms_of("results/none/stage/repeat1/fold0", ["block"]) == ["results/none/block/repeat1/fold0"]
    with pytest.raises(ReproError, match="names no arm to replace"):
        arms_of("results/mine", ["none", "stage"])


def test_networks_of_other_classes_are_not_compared(tmp_path):
    """Their tables would not fit."""
    network = open_network("made/none")
    other = network._replace(run=replace(network.run, classes=("glass", "metal")))
    with pytest.raises(ReproError, match="different classes"):
        explain([tmp_path], [network, other], tmp_path / "out")


def test_names_are_unique(call, photographs, tmp_path):
    """A photograph that is named twice, directly and in its folder, counts once."""
    folder = photographs / "rötlich"
    assert "photographs explained: 16;" in call(folder, folder / "1.png", "--network", "made/none")[1]
    assert pd.read_csv(tmp_path / "explained" / "predictions.csv")["photograph"].is_unique
