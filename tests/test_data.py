"""Any tree of class folders becomes arrays and a table: sound pictures are kept whole, unsound ones are listed."""

import errno
import hashlib
import io
import os
import re
import shutil
import struct
import sys
import unicodedata
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from paper_repro.data import load_dataset, load_originals, read_photograph
from paper_repro.files import ReproError, cache_dir
from paper_repro.keys import data_stamp
from paper_repro.photographs import prepared
from paper_repro.photographs.boxes import load_boxes
from paper_repro.photographs.pictures import square_picture, squash, to_frame

SIZE = 16


@pytest.fixture(autouse=True)
def own_prepared_folder(tmp_path, monkeypatch):
    """Every test prepares its data itself."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "cache"))


def noise(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    """A smooth picture that is like no other."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (5, 6, 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def tree(tmp_path):
    """Two classes of three pictures each."""
    for number in range(6):
        folder = tmp_path / "tree" / ("glass" if number < 3 else "metal")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(encoded(noise(number)))
    return tmp_path / "tree"


def zipped(folder: Path, path: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, prefix + file.relative_to(folder).as_posix())
    return path


# ---- the data set -----------------------------------------------------------------------------------------------


def test_folder_becomes_arrays_and_a_table(tree):
    """Class order, row order, contents, sizes and hashes are what the files say."""
    dataset = load_dataset(tree, SIZE)
    assert dataset.name == "tree" and dataset.classes == ("glass", "metal")
    assert dataset.images.shape == (6, SIZE, SIZE, 3) and dataset.images.dtype == np.uint8
    assert dataset.masks is None and dataset.boxes is None
    assert dataset.table["image"].tolist() == [f"{'glass' if n < 3 else 'metal'}/{n}.png" for n in range(6)]
    assert dataset.table["truth"].tolist() == [0, 0, 0, 1, 1, 1]
    row = dataset.table.iloc[4]
    content = (tree / "metal" / "4.png").read_bytes()
    assert (row["width"], row["height"], row["bytes"]) == (40, 30, len(content))
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert not dataset.table["excluded"].any() and dataset.table["group"].is_unique
    np.testing.assert_array_equal(dataset.images[4], squash(noise(4), SIZE))


def test_zip_equals_folder(tree, tmp_path):
    """Same pixels and fingerprint, whether packed, wrapped in a folder, or with a Mac's and Windows' extra files."""
    expected = load_dataset(tree, SIZE)
    for extra in ("glass/.ipynb_checkpoints/0-checkpoint.png", "glass/._0.png", "metal/Thumbs.db", ".DS_Store/x"):
        (tree / extra).parent.mkdir(exist_ok=True)
        (tree / extra).write_bytes(b"junk")
    (tree / "__MACOSX" / "glass").mkdir(parents=True)
    (tree / "__MACOSX" / "glass" / "._0.png").write_bytes(b"junk")
    (tree / "README.txt").write_text("a file beside the class folders")
    wrapped = zipped(tree, tmp_path / "wrapped.zip", "dataset-resized/")
    for source in (tree, zipped(tree, tmp_path / "plain.zip"), wrapped):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dataset = load_dataset(source, SIZE)
        np.testing.assert_array_equal(dataset.images, expected.images)
        assert dataset.fingerprint == expected.fingerprint


def test_second_call_opens_what_the_first_prepared(tree, monkeypatch):
    """Nothing is decoded again, at the same size; the array is memory-mapped."""
    first = load_dataset(tree, SIZE)
    monkeypatch.setattr(prepared, "square_picture", None)
    second = load_dataset(tree, SIZE)
    assert isinstance(second.images, np.memmap)
    pd.testing.assert_frame_equal(first.table, second.table)
    assert first.fingerprint == second.fingerprint


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of the last change that a tool cannot set")
def test_a_changed_file_is_prepared_anew(tree):
    """Even where its size and modification time stay as they were."""
    first = load_dataset(tree, SIZE)
    file = tree / "glass" / "0.png"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-20] ^= 1  # in the checksum of PNG's last data
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.warns(UserWarning, match="'glass/0.png'"):
        second = load_dataset(tree, SIZE)
    assert len(second.images) == 5 and first.fingerprint != second.fingerprint


def test_killed_preparation_leaves_nothing_that_counts(tree, monkeypatch):
    """An interrupt in the middle: no prepared folder; the next call prepares all."""
    calls = []

    def stop(*args):
        calls.append(args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(prepared, "near_duplicate_groups", stop)
        load_dataset(tree, SIZE)
    assert calls and not [path for path in cache_dir("prepared").iterdir() if path.is_dir()]
    assert len(load_dataset(tree, SIZE).images) == 6


def test_full_disk_is_named_and_leaves_nothing(tree, monkeypatch):
    """The message says how to go on; with space again, the next call succeeds."""

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(ReproError, match="No space left .* set PAPER_REPRO_CACHE"):
        patch.setattr(os, "fsync", full)
        load_dataset(tree, SIZE)
    assert not [path for path in cache_dir("prepared").iterdir() if path.is_dir()]
    assert len(load_dataset(tree, SIZE).images) == 6


def test_damaged_prepared_data_is_named(tree):
    """A cut array is an error that says which folder to delete."""
    load_dataset(tree, SIZE)
    folder = next(path for path in cache_dir("prepared").iterdir() if path.is_dir())
    os.truncate(folder / "images.npy", 500)
    with pytest.raises(ReproError, match=rf"{folder.name} is damaged .* delete that folder"):
        load_dataset(tree, SIZE)


def test_equal_pixels_under_two_labels_are_excluded(tree):
    """Nobody knows which label is right; a copy under one label only shares its group."""
    shutil.copy(tree / "glass" / "0.png", tree / "metal" / "copy.png")
    (tree / "glass" / "same.bmp").write_bytes(encoded(noise(1), "BMP"))
    table = load_dataset(tree, SIZE).table.set_index("image")
    assert table.index[table["excluded"]].tolist() == ["glass/0.png", "metal/copy.png"]
    assert table.loc["glass/0.png", "group"] == table.loc["metal/copy.png", "group"]
    assert table.loc["glass/1.png", "group"] == table.loc["glass/same.bmp", "group"]
    assert table["group"].nunique() == 6


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
def test_odd_names_survive(tree, tmp_path):
    """Class and file names of any Unicode, as long as the file system allows."""
    labels = ["a b [c]", "Größe 垃圾", "<script>alert(1)<", "line\nbreak", "NA", "1e5"]
    names = ["x" * 251 + ".png", 'ü,"quoted";.png', "onerror=alert(1).png", "tab\tand\rreturn.png", "nan", "a&b.png"]
    for number, (label, name) in enumerate(zip(labels, names, strict=True)):
        (tree / label).mkdir()
        (tree / label / name).write_bytes(encoded(noise(10 + number)))
    for source in (tree, zipped(tree, tmp_path / "odd.zip")):
        for _ in range(2):
            dataset = load_dataset(source, SIZE)
            assert dataset.classes == tuple(sorted([*labels, "glass", "metal"]))
            expected = {f"{label}/{name}" for label, name in zip(labels, names, strict=True)}
            assert expected <= set(dataset.table["image"]) and set(labels) <= set(dataset.table["label"])


@pytest.mark.skipif(os.name == "nt", reason="Windows forbids such names")
@pytest.mark.parametrize("mark", ["\r", "\n", "\r\n", "\x07", "\x0b", "\x1c", "\x85", "\u2028", "\u2029"])
def test_line_breaks_and_control_characters_in_names_are_kept(tree, tmp_path, mark):
    """At the beginning, in the middle and at the end of a class or file name, in a folder and in a zip."""
    labels = [f"gl{mark}ass", f"{mark}paper", f"wood{mark}"]
    names = [f"my{mark}photo.png", f"{mark}.png", f"end{mark}"]
    for number, (label, name) in enumerate(zip(labels, names, strict=True)):
        (tree / label).mkdir()
        (tree / label / name).write_bytes(encoded(noise(10 + number)))
        (tree / "metal" / name).write_bytes(encoded(noise(20 + number)))
    expected = {f"{label}/{name}" for label, name in zip(labels, names, strict=True)} | {f"metal/{n}" for n in names}
    for source in (tree, zipped(tree, tmp_path / "names.zip")):
        for _ in range(2):  # prepared, then read from the manifest
            dataset = load_dataset(source, SIZE)
            assert dataset.classes == tuple(sorted([*labels, "glass", "metal"])) and len(dataset.images) == 12
            assert expected <= set(dataset.table["image"]) and set(labels) <= set(dataset.table["label"])


def test_composed_and_decomposed_names_are_the_same_data(tree, tmp_path):
    """macOS may store an accent as a character of its own; classes, images and boxes are matched all the same."""
    sources = []
    for form in ("NFC", "NFD"):
        folder = tmp_path / form / "photographs"
        shutil.copytree(tree, folder)
        (folder / "metal").rename(folder / unicodedata.normalize(form, "Küchenabfälle"))
        (folder / "glass" / "0.png").rename(folder / "glass" / unicodedata.normalize(form, "Flasche é.png"))
        sources += [folder, zipped(folder, tmp_path / f"{form}.zip")]
    boxes = tmp_path / "boxes.zip"
    with zipfile.ZipFile(boxes, "w") as archive:
        archive.writestr(unicodedata.normalize("NFD", "Flasche é.xml"), annotation((1, 1, 20, 20)))
    datasets = [load_dataset(source, SIZE, boxes) for source in sources]
    assert {dataset.classes for dataset in datasets} == {("Küchenabfälle", "glass")}
    assert len({dataset.fingerprint for dataset in datasets}) == 1
    assert all([len(found) for found in dataset.boxes] == [0, 0, 0, 0, 0, 1] for dataset in datasets)


def test_what_systems_leave_behind_does_not_count(tree):
    """Files and folders of macOS, Windows and network drives, in any case, change neither the data nor their stamp."""
    expected, stamp = load_dataset(tree, SIZE), data_stamp(str(tree))
    folders = ["$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", ".Trash-1000", "__pycache__"]
    for name in (*folders, "@eaDir", "@__thumb", "@Recycle", "#recycle"):
        (tree / name).mkdir()
        (tree / name / "thumb.jpg").write_bytes(b"junk")
    (tree / "glass" / "@eaDir").mkdir()
    (tree / "glass" / "@eaDir" / "0.png").write_bytes(b"junk")
    for name in ("Icon\r", "THUMBS.DB", "ehthumbs.db", "Desktop.ini", "0.png:Zone.Identifier", "._0.png"):
        (tree / "glass" / name).write_bytes(b"junk")
        (tree / name).write_bytes(b"junk")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_dataset(tree, SIZE).fingerprint == expected.fingerprint
    assert data_stamp(str(tree)) == stamp


@pytest.mark.parametrize("inner", ["", "wrapper"])
@pytest.mark.parametrize("packed", [False, True])
def test_pictures_beside_the_class_folders_are_counted_and_named(tree, tmp_path, inner, packed):
    """One warning for all, also for those beside a folder that wraps the classes; a README needs none."""
    folder = tmp_path / "all"
    shutil.copytree(tree, folder / inner)
    (folder / inner / "README.md").write_text("about the pictures")
    for number in range(49):
        (folder / inner / f"b{number}.JPG").write_bytes(encoded(noise(number), "JPEG"))
    (folder / "a.png").write_bytes(encoded(noise(99)))
    with pytest.warns(UserWarning) as caught:
        dataset = load_dataset(zipped(folder, tmp_path / "all.zip") if packed else folder, SIZE)
    (warning,) = caught
    assert re.search(r"all.* are not read \(50, such as 'a.png'\): move each into a class folder", str(warning.message))
    assert len(dataset.images) == 6


def test_the_embedded_photographs():
    """They are read like anybody's: six classes of unequal size, a mask each, some twins, three under two labels."""
    dataset = load_dataset("rendered", 32)
    assert dataset.name == "rendered"
    assert dataset.classes == ("cardboard", "glass", "metal", "paper", "plastic", "trash")
    assert dataset.masks.shape == (len(dataset.table), 32, 32) and dataset.masks.any((1, 2)).all()
    assert dataset.table["excluded"].sum() == 6
    assert dataset.table["label"].value_counts().idxmin() == "trash"


def test_single_photographs_are_read_larger_than_the_data_set(tree):
    """For people to look at; in the order asked, with the geometry of the data set's squares."""
    names = load_dataset(tree, SIZE).table["image"].iloc[[3, 0]]
    pictures = load_originals(tree, names, 50)
    assert np.array_equal(pictures, [read_photograph(tree / name, 50) for name in names])


def test_masks_beside_the_photographs_are_read_with_them(tree, tmp_path):
    """By class and name, whatever the suffix, with the photographs' geometry; a photograph without one is counted."""
    assert load_dataset(tree, SIZE).masks is None
    half = np.zeros((40, 60), np.uint8)
    half[:, 30:] = 255  # the right half
    masks = tree.with_name(f"{tree.name}_masks")
    images = load_dataset(tree, SIZE).table["image"]
    for image in images[1:]:
        path = (masks / image).with_suffix(".png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(Image.fromarray(half)))
    with pytest.warns(UserWarning, match=f"1 of {len(images)} photographs have no mask"):
        dataset = load_dataset(tree, SIZE)
    expected = np.arange(SIZE) >= SIZE // 2
    assert not dataset.masks[0].any() and (dataset.masks[1:] == expected).all()
    zipped(masks, tmp_path / "other_masks.zip")
    shutil.copytree(tree, tmp_path / "other")
    with pytest.warns(UserWarning, match="no mask"):
        assert np.array_equal(load_dataset(tmp_path / "other", SIZE).masks, dataset.masks)


def test_masks_of_one_class_alone(tree, monkeypatch):
    """A reader may have drawn only some masks. They lie beside the folder "." as well; 0 and 1 are refused."""
    image = load_dataset(tree, SIZE).table["image"].iloc[0]
    path = (tree.with_name("tree_masks") / image).with_suffix(".png")
    path.parent.mkdir(parents=True)
    path.write_bytes(encoded(Image.new("1", (40, 30), 1)))
    monkeypatch.chdir(tree)
    for data in (tree, "."):
        with pytest.warns(UserWarning, match="5 of 6 photographs have no mask"):
            masks = load_dataset(data, SIZE).masks
        assert masks[0].all() and not masks[1:].any()
    path.write_bytes(encoded(Image.new("L", (40, 30), 1)))
    with pytest.raises(ReproError, match="has no value above 1: save the object as white, 255"):
        load_dataset(tree, SIZE)
    shutil.copy(path, path.with_suffix(".bmp"))
    with pytest.raises(ReproError, match="fit one photograph: keep one of them"):
        load_dataset(tree, SIZE)


def test_masks_that_fit_no_photograph_are_refused(tree):
    """Names that do not match would leave the maps unmeasured in silence."""
    path = tree.with_name(f"{tree.name}_masks")
    shutil.copytree(tree, path)
    for label in list(path.iterdir()):
        label.rename(path / f"other {label.name}")
    with pytest.raises(ReproError, match="masks: no file of .* has a photograph's name: give a mask"):
        load_dataset(tree, SIZE)


# ---- pictures ---------------------------------------------------------------------------------------------------


def test_unsound_files_are_listed_in_one_report(tree):
    """Each by name and reason; the sound ones are prepared all the same, on every call."""
    sound = encoded(noise(0, 200, 150), "JPEG")
    header = b"IHDR" + struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    bomb = encoded(noise(0))[:12] + header + struct.pack(">I", zlib.crc32(header)) + encoded(noise(0))[33:]
    frames = [noise(seed) for seed in (1, 2)]
    unsound = {
        "empty.jpg": (b"", "empty"),
        "truncated.jpg": (sound[: len(sound) // 2], "truncated"),
        "truncated.png": (encoded(noise(0))[:900], "truncated"),
        "login.jpg": (b"<!DOCTYPE html><html>please log in</html>", "web page"),
        "notes.txt": (b"bottles", "no known type"),
        "animated.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "holds 2 pictures"),
        "pixels.png": (bomb, "exceeds limit"),
        "float.tif": (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "unknown range"),
        "drawing.eps": (encoded(noise(0), "EPS"), "no known type"),
    }
    for name, (content, _) in unsound.items():
        (tree / "glass" / name).write_bytes(content)
    if os.name == "posix":
        (tree / "glass" / "nowhere.jpg").symlink_to(tree / "gone.jpg")
        os.mkfifo(tree / "glass" / "pipe.jpg")
        unsound |= {"nowhere.jpg": (None, "No such file"), "pipe.jpg": (None, "device or pipe")}
    for _ in range(2):
        with pytest.warns(UserWarning) as caught:
            dataset = load_dataset(tree, SIZE)
        assert len(caught) == 1 and len(dataset.images) == 6
        report = str(caught[0].message)
        assert f"{len(unsound)} of the {6 + len(unsound)} files" in report
        for name, (_, reason) in unsound.items():
            (line,) = [line for line in report.splitlines() if f"'glass/{name}'" in line]
            assert reason in line


def test_an_error_without_a_message_is_listed_by_its_type(tree, monkeypatch):
    """An empty reason would count as a sound picture."""
    calls = iter([EOFError()])

    def decode(data, size):
        for error in calls:
            raise error
        return square_picture(data, size)

    monkeypatch.setattr(prepared, "square_picture", decode)
    with pytest.warns(UserWarning, match="'[a-z]*/[0-9].png': EOFError"):
        assert len(load_dataset(tree, SIZE).images) == 5


def test_pixel_limit_is_an_error_below_pillows(monkeypatch, tree):
    """Pillow only warns between its limit and twice that."""
    monkeypatch.setattr("paper_repro.photographs.pictures.PIXEL_LIMIT", 40 * 30)
    (tree / "glass" / "large.png").write_bytes(encoded(noise(9, 41, 30)))
    with pytest.warns(UserWarning, match="'glass/large.png': 41x30 pixels are over the limit of 1,200"):
        assert len(load_dataset(tree, SIZE).images) == 6


def test_unusual_pictures_are_prepared_right(tmp_path):
    """Whatever the mode, type and shape, the square shows what a viewer shows."""
    picture = noise(3)
    array = np.asarray(picture)
    lying, exif = picture.transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    grey16 = np.linspace(0, 65535, 40 * 30).reshape(30, 40).astype(np.uint16)
    grey8 = Image.fromarray((grey16 / 257).astype(np.uint8))
    alpha = np.dstack([array, np.where(np.arange(40) < 20, 255, 0)[None].repeat(30, 0).astype(np.uint8)])
    half_white = np.where(np.arange(40)[None, :, None] < 20, array, 255)
    palette = Image.fromarray(alpha).quantize(64)
    grey = picture.convert("L")
    cases = {
        "named.jpg": (encoded(picture.quantize(256), "GIF"), picture.quantize(256).convert("RGB"), 0),
        "rotated.jpg": (encoded(lying, "JPEG", quality=100, exif=exif), picture, 25),
        "grey16.png": (encoded(Image.fromarray(grey16)), grey8, 1),
        "grey.jpg": (encoded(grey, "JPEG", quality=100), grey, 8),
        "bilevel.png": (encoded(picture.convert("1")), picture.convert("1"), 0),
        "alpha.png": (encoded(Image.fromarray(alpha)), Image.fromarray(half_white.astype(np.uint8)), 1),
        "palette.png": (encoded(palette), Image.fromarray(half_white.astype(np.uint8)), 40),
        "cmyk.jpg": (encoded(picture.convert("CMYK"), "JPEG", quality=100), picture, 25),
        "one.png": (encoded(picture.crop((0, 0, 1, 1))), picture.crop((0, 0, 1, 1)), 0),
        "wide.png": (encoded(picture.resize((3000, 1))), picture.resize((3000, 1)), 0),
        "rotated16.tif": (encoded(Image.fromarray(grey16), "TIFF"), grey8, 1),
    }
    for name, (content, expected, tolerance) in cases.items():
        file = tmp_path / name
        file.write_bytes(content)
        found = read_photograph(file, SIZE).astype(int)
        difference = np.abs(found - squash(expected.convert("RGB"), SIZE))
        assert difference.max() <= tolerance, (name, difference.max())
        assert np.array_equal(found, read_photograph(Image.open(file), SIZE)) or name.endswith("jpg")


def png(samples, depth: int, colour: int, transparent: tuple = ()) -> bytes:
    """A PNG file of samples (H, W, C) with `depth` bits each; `transparent` is the grey or colour of its tRNS."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    samples = np.asarray(samples)
    bits = (samples[..., None] >> np.arange(depth)[::-1]) & 1  # (H, W, C, depth)
    rows = np.packbits(bits.reshape(len(samples), -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, 0)
    key = chunk(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent)) if transparent else b""
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + key + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_value_of_a_png_is_white(depth, channels):
    """Whatever its bits for each sample: the left half shows a dark sample, the right half is transparent."""
    if channels == 3 and depth < 8:
        pytest.skip("PNG has no such colours")
    dark, transparent = 0, 2 ** (depth - 1)
    samples = np.full((4, 4, channels), dark)
    samples[:, 2:] = transparent
    content = png(samples, depth, 0 if channels == 1 else 2, (transparent,) * channels)
    expected = np.broadcast_to(np.array([0, 0, 255, 255])[:, None], (4, 4, 3))
    np.testing.assert_array_equal(square_picture(content, 4)[0], expected)
    np.testing.assert_array_equal(read_photograph(Image.open(io.BytesIO(content)), 4), expected)


@pytest.mark.parametrize("depth", [2, 4, 8, 16])
def test_another_value_than_the_transparent_one_is_kept(depth):
    """Also the one whose 8-bit sample has the number that tRNS holds."""
    top = 2**depth - 1
    content = png(np.array([0, 1, top, top])[None, :, None], depth, 0, (top - 1,))
    grey = [0, round(255 / top), 255, 255]
    np.testing.assert_array_equal(square_picture(content, 4)[0][0, :, 0], grey)


def test_other_kinds_of_transparency_are_white():
    """Alpha of 16 bits, alpha that Pillow has multiplied in, a palette's and a big-endian picture's."""
    clear = np.zeros((4, 4, 2), int)
    big_endian = Image.new("I;16B", (4, 4), 300)
    big_endian.info["transparency"] = 300
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0] * 6)
    palette.info["transparency"] = 1
    cases = [
        Image.open(io.BytesIO(png(clear, 16, 4))),
        Image.open(io.BytesIO(png(np.zeros((4, 4, 4), int), 16, 6))),
        big_endian,
        palette,
        *(Image.new(mode, (4, 4)) for mode in ("LA", "La", "RGBA", "RGBa", "PA")),
    ]
    for case in cases:
        assert read_photograph(case, 4).min() == 255


def test_a_picture_of_the_user_is_not_changed():
    """Neither its pixels nor its orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = Image.open(io.BytesIO(encoded(noise(0), "PNG", exif=exif)))
    first = read_photograph(picture, SIZE)
    assert picture.size == (40, 30) and picture.getexif()[0x0112] == 6
    np.testing.assert_array_equal(read_photograph(picture, SIZE), first)


def tiff(samples, sample_format: int = 1, bits: int = 16) -> bytes:
    """A grey TIFF of the bytes in `samples`, 4 x 4 pixels."""
    tags = {256: 4, 257: 4, 258: bits, 259: 1, 262: 1, 273: 134, 277: 1, 278: 4, 279: len(samples), 339: sample_format}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries).ljust(134, b"\0") + samples


@pytest.mark.parametrize(
    "content",
    [
        encoded(Image.fromarray(np.linspace(-20000, 20000, 16).reshape(4, 4).astype(np.int32)), "TIFF"),
        encoded(Image.fromarray(np.linspace(0, 200, 16).reshape(4, 4).astype(np.int32)), "TIFF"),
        encoded(Image.fromarray(np.linspace(0, 1, 16).reshape(4, 4).astype(np.float32)), "TIFF"),
        tiff(np.full(16, -5, np.int16).tobytes(), sample_format=2),
        tiff(np.full(16, -5, np.int8).tobytes(), sample_format=2, bits=8),
        tiff(np.full(16, 200, np.uint32).tobytes(), bits=32),
        tiff(np.full(16, 3_000_000_000, np.uint32).tobytes(), bits=32),
    ],
    ids=["int32 of both signs", "int32 to 200", "float", "int16", "int8", "uint32 to 200", "large uint32"],
)
def test_pixels_of_unknown_range_are_refused(content):
    """A file, and the PIL image that it opens as, whatever values it happens to hold."""
    reason = "of unknown range: save it with 8 or 16 bits"
    with pytest.raises(ValueError, match=reason):
        square_picture(content, SIZE)
    with pytest.raises(ReproError, match=reason) as caught:
        read_photograph(Image.open(io.BytesIO(content)), SIZE)
    assert "\n" not in str(caught.value)


def test_grey_of_known_range_keeps_it():
    """16 bits in PNG, TIFF and PGM, whatever PGM's largest value, and 12 bits in TIFF: half of white is half grey."""
    half = Image.fromarray(np.full((4, 4), 32768, np.uint16))
    cases = [encoded(half, kind) for kind in ("PNG", "TIFF", "PPM")]
    cases += [b"P5 4 4 1000\n" + struct.pack(">16H", *[500] * 16), b"P2 4 4 1000\n" + b"500 " * 16]
    cases += [tiff(bytes([0x80, 0x08, 0x00] * 8), bits=12)]
    for case in cases:
        np.testing.assert_allclose(square_picture(case, 4)[0], 128, atol=1)
        np.testing.assert_allclose(read_photograph(Image.open(io.BytesIO(case)), 4), 128, atol=1)
    np.testing.assert_array_equal(read_photograph(half, 4), 128)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_broken_exif_does_not_spoil_a_photograph(tmp_path):
    """The pixels count; the orientation is then as stored."""
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40
    (tmp_path / "photo.jpg").write_bytes(encoded(noise(0), "JPEG", exif=exif))
    assert read_photograph(tmp_path / "photo.jpg", SIZE).shape == (SIZE, SIZE, 3)


def test_reduced_decoding_changes_little(tmp_path):
    """A large JPEG is decoded at a fraction of its size; the square stays what full decoding gives, nearly."""
    image = noise(1, 1600, 1200)
    (tmp_path / "large.jpg").write_bytes(encoded(image, "JPEG", quality=95))
    reduced = read_photograph(tmp_path / "large.jpg", 64).astype(int)
    assert np.abs(reduced - squash(Image.open(tmp_path / "large.jpg"), 64)).mean() < 1


def test_own_photograph_that_is_none_is_named(tmp_path):
    """The message names file, reason and remedy."""
    (tmp_path / "photo.jpg").write_bytes(b"<html>")
    with pytest.raises(ReproError, match=r"photo\.jpg \(its content is text.*give a JPEG or PNG"):
        read_photograph(tmp_path / "photo.jpg", SIZE)
    with pytest.raises(ReproError, match=r"none\.jpg \(No such file"):
        read_photograph(tmp_path / "none.jpg", SIZE)


def test_a_photograph_in_every_form(tmp_path):
    """A path, an open picture, the content of a file, an open file wherever it was read to, an array: one square."""
    photograph, expected = noise(0), squash(noise(0), SIZE)
    content, path = encoded(photograph), tmp_path / "photo.png"
    path.write_bytes(content)
    written = io.BytesIO()
    photograph.save(written, "PNG")  # leaves it at its end
    with path.open("rb") as file:
        forms = [path, str(path), photograph, content, bytearray(content), memoryview(content), file, written]
        for form in [*forms, file, np.asarray(photograph), np.dstack([photograph, np.full((30, 40), 255, np.uint8)])]:
            np.testing.assert_array_equal(read_photograph(form, SIZE), expected)
    grey = np.asarray(photograph.convert("L"))
    for form in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(read_photograph(form, SIZE), squash(photograph.convert("L").convert("RGB"), SIZE))
    assert read_photograph(np.zeros((4, 4, 4), np.uint8), 4).min() == 255  # nothing but transparent


@pytest.mark.parametrize(
    ("photograph", "reason"),
    [
        (None, "given as NoneType"),
        (7, "given as int"),
        ({"image": 1}, "given as dict"),
        ([[0, 0], [0, 0]], "given as list"),
        (np.zeros((300, 400, 3)), r"uint8 of shape .*, this one is float64 of shape \(300, 400, 3\)"),
        (np.zeros((3, 300, 400), np.uint8), r"this one is uint8 of shape \(3, 300, 400\)"),
        (np.zeros((2, 30, 40, 3), np.uint8), r"this one is uint8 of shape \(2, 30, 40, 3\)"),
        (np.zeros((0, 40, 3), np.uint8), "has no pixels"),
        (b"", "the file is empty"),
        (b"<html>" * 10_000, "given as bytes .its content is text"),
        (io.StringIO("text"), "open for reading text, not bytes"),
        ("https://example.org/photo.jpg", "example.org/photo.jpg .No such file"),
        ("x" * 100_000, "File name too long"),
        ("two\nlines.jpg", r"two\\nlines.jpg' .No such file"),
        (os.curdir, "it is a folder"),
    ],
)
def test_what_is_no_photograph_is_refused_in_a_short_line(photograph, reason):
    """The message names path or type and the reason, never the object itself."""
    with pytest.raises(ReproError, match=reason) as caught:
        read_photograph(photograph, SIZE)
    message = str(caught.value)
    assert len(message) < 500 and "\n" not in message and "give a JPEG or PNG as a path" in message


@pytest.mark.parametrize("data", [None, 3, ["glass", "metal"]])
def test_data_that_are_no_path_are_refused(data, tree):
    """By their type; so are boxes."""
    with pytest.raises(ReproError, match=f"data: the path must be text or a Path, not of type {type(data).__name__}"):
        load_dataset(data, SIZE)
    if data:
        with pytest.raises(ReproError, match="boxes: the path must be text or a Path"):
            load_dataset(tree, SIZE, boxes=data)


# ---- folders ----------------------------------------------------------------------------------------------------


def make_missing(tree):
    return tree / "gone", "gone does not exist: give a folder or zip"


def make_empty(tree):
    (tree / "void").mkdir()
    return tree / "void", "void holds no pictures in class folders"


def make_class_given(tree):
    return tree / "glass", "lie in no class folder: give the folder above it, .*tree"


def make_too_deep(tree):
    for part in ("dry", "wet"):
        shutil.copytree(tree / "glass", tree.parent / "deep" / part / "glass")
    return tree.parent / "deep", "'dry/glass/0.png' .* lies deeper than CLASS/FILE: if 'dry' is a class, move"


def make_one_deeper(tree):
    (tree / "glass" / "more").mkdir()
    (tree / "glass" / "more" / "7.png").write_bytes(encoded(noise(7)))
    return tree, "'glass/more/7.png' .* move such files up"


def make_equal_but_for_case(tree):
    shutil.copytree(tree / "glass", tree / "Glass")
    return tree, "'Glass' and 'glass' .* equal but for case: rename one"


def make_equal_accents(tree):
    (tree / "gl\u00e4s").mkdir()
    (tree / "gla\u0308s").mkdir()
    return tree, "equal but for case"


def make_link_loop(tree):
    (tree / "glass" / "again").symlink_to(tree)
    return tree, "are one folder by a link: remove the link"


def make_broken_link_to_a_class(tree):
    (tree / "paper").symlink_to(tree.parent / "gone")
    return tree, "cannot follow .*paper .No such file or directory.: mend or remove it"


def make_empty_class(tree):
    (tree / "paper").mkdir()
    return tree, "the class 'paper' .* is empty: add pictures or remove"


def make_unreadable_class(tree):
    (tree / "paper").mkdir()
    (tree / "paper" / "a.png").write_bytes(b"")
    return tree, "the class 'paper' .* has no readable picture"


def make_one_class(tree):
    shutil.rmtree(tree / "metal")
    return tree, "only one class, 'glass'"


def make_bad_utf8(tree):
    (tree / "gl\udcff").mkdir()  # on Linux the byte 0xff
    return tree, r"'gl\\udcff' .* is no valid UTF-8: rename it"


@pytest.mark.filterwarnings("ignore:data. 1 of the 7 files")
@pytest.mark.parametrize("make", [value for name, value in globals().copy().items() if name.startswith("make_")])
def test_folder_that_cannot_work_is_refused(tree, make):
    """Before any training, with what is wrong and what to do."""
    try:
        path, message = make(tree)
    except OSError:
        if sys.platform == "linux":
            raise
        pytest.skip("this file system has no such names or links")
    with pytest.raises(ReproError, match=message):
        load_dataset(path, SIZE)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("layout", "remedy"),
    [
        ("train/glass/1 train/metal/2 test/3 test/4", "give (its folder ')?{}train'?, as its pictures alone"),
        (
            "train_1/a/1 train_1/b/2 test_1/a/3 test_1/b/4",
            "give (its folder ')?{}train_1'?, .* or keep folders train, val",
        ),
        (
            "train/a/1 train/b/2 test/a/3 test/b/4 more/5",
            "give (its folder ')?{}train'?, .* or keep folders train, val",
        ),
        (
            "Training/a/1 Training/b/2 Validation/a/3 Validation/b/4",
            "none .* is called test: rename the one that is to be",
        ),
        ("test/a/1 test/b/2 val/a/3 val/b/4", "none .* is called train: rename the one that is to be the train part"),
        ("train/a/1 val/a/3 valid/b/4 test/a/5", "two of the folders .*'val', 'valid' .* are the same part: put them"),
        ("train/a/1 train/b/2/3 test/a/4 test/b/5", "'.*train/b/2/3.png' of .* deeper than PART/CLASS/FILE: move such"),
        ("train/a/1 train/b/2 test/a/3 test/B/4", "'B' and 'b' in .* are equal but for case: rename one"),
        ("train/a/1 train/b/2 test/a/3 test/c/", "the class 'c' of .* is empty: add pictures or remove its folders"),
        ("train/a/1 test/a/2", "has only one class, 'a'"),
        ("train/a/1 train/b/2 test/", "give (its folder ')?{}train'?, as its pictures alone"),
        ("images/a/1 images/b/2 annotations/1.xml", "give (its folder ')?{}images'?, as its pictures alone"),
        ("data/a/1 data/b/2 code/train.py", "give (its folder ')?{}data'?, as its pictures alone"),
        ("glass/old/1 metal/2", "move such files up into their class folder"),
        ("glass/old/1 glass/3 metal/2", "move such files up into their class folder"),
        ("glass/jpg/1 metal/jpg/2", "if 'glass' is a class, move such files up into it, else give one folder"),
        ("dry/can/1 dry/box/2 wet/pear/3 wet/egg/4", "if 'dry' is a class, move such files up into it, else give one"),
        ("glass/green/1 glass/brown/2 metal/3", "if 'glass' is a class, .* else (unpack it and )?give .*glass"),
        ("glass/1 metal/2 annotations/xml/1.xml", "move such files out of .*, as by their names they are no pictures"),
        ("train/1 test/2", "'test', 'train' of .* are parts of a data set, no classes: make one folder per class"),
    ],
)
@pytest.mark.parametrize("wrapper", ["", "wrapper/"])
def test_the_remedy_fits_the_layout(tmp_path, layout, remedy, wrapper, packed):
    """Class folders that are divided already, lie beside other folders or hold folders themselves."""
    path = tmp_path / ("photographs.zip" if packed else "photographs")
    names = [wrapper + (name if name.endswith(("/", ".xml", ".py")) else f"{name}.png") for name in layout.split()]
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"")
    else:
        for name in names:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).mkdir() if name.endswith("/") else (path / name).touch()
    place = wrapper if packed else f"{path}/{wrapper}"
    with pytest.raises(ReproError, match=remedy.format(place)) as caught:
        load_dataset(path, SIZE)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_forbidden_file_is_listed(tree):
    """A file without read permission is a line of the report."""
    (tree / "glass" / "0.png").chmod(0)
    with pytest.warns(UserWarning, match="'glass/0.png': Permission denied"):
        load_dataset(tree, SIZE)


def test_unwritable_cache_is_named(tree, tmp_path, monkeypatch):
    """A cache folder that cannot be made is an error with the remedy."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ReproError, match="set PAPER_REPRO_CACHE"):
        load_dataset(tree, SIZE)


# ---- the workflow's stamp ---------------------------------------------------------------------------------------


def test_the_stamp_sees_what_is_read(tree, tmp_path):
    """Pictures in linked class folders, linked pictures, and folders below a wrapper; nothing else changes it."""
    elsewhere = tmp_path / "elsewhere"
    shutil.move(tree / "metal", elsewhere)
    shutil.move(tree / "glass" / "0.png", tmp_path / "0.png")
    (tree / "metal").symlink_to(elsewhere)
    (tree / "glass" / "0.png").symlink_to(tmp_path / "0.png")
    shutil.copytree(tree / "glass", tmp_path / "wrapped" / "inner" / "glass")
    (tmp_path / "wrapped" / "inner" / "metal").symlink_to(elsewhere)
    for data, inner in ((tree, tree), (tmp_path / "wrapped", tmp_path / "wrapped" / "inner")):
        stamps = [data_stamp(str(data))]
        (elsewhere / f"{data.name}.png").write_bytes(encoded(noise(7)))
        stamps.append(data_stamp(str(data)))
        (inner / "glass" / "8.png").write_bytes(encoded(noise(8)))
        stamps.append(data_stamp(str(data)))
        assert len(set(stamps)) == 3
        (data / "README.txt").write_text("beside the class folders")
        (inner / "glass" / ".hidden").write_text("hidden")
        (data / "Thumbs.db").write_text("junk")
        assert data_stamp(str(data)) == stamps[-1]
    before = data_stamp(str(tree))
    (tmp_path / "0.png").write_bytes(encoded(noise(9)))  # where the linked picture is
    assert data_stamp(str(tree)) != before


def test_the_stamp_of_a_zip_and_of_a_name(tree, tmp_path):
    """Another zip has another stamp; what is no path is its own."""
    stamps = [data_stamp(str(zipped(tree, tmp_path / "a.zip")))]
    (tree / "glass" / "7.png").write_bytes(encoded(noise(7)))
    stamps.append(data_stamp(str(zipped(tree, tmp_path / "a.zip"))))
    assert stamps[0] != stamps[1] and data_stamp("trashnet") == "trashnet"


def test_the_stamp_of_a_tree_that_is_refused(tree):
    """The same error as when it is read, in one line."""
    (tree / "glass" / "again").symlink_to(tree)
    with pytest.raises(ReproError, match="are one folder by a link: remove the link"):
        data_stamp(str(tree))


# ---- boxes ------------------------------------------------------------------------------------------------------


def annotation(*boxes, width=40, height=30) -> str:
    objects = "".join(
        "<object><name>glass</name><bndbox>"
        + "".join(
            f"<{name}>{value}</{name}>" for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        + "</bndbox></object>"
        for box in boxes
    )
    return f"<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>"


def test_boxes_are_fractions_and_bad_ones_are_dropped_with_a_reason(tree, tmp_path):
    """Only sound boxes are used; every other is on the list."""
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]>'
    files = {
        "0": annotation((11, 1, 20, 30), (1, 1, 40, 15)),
        "1": annotation((1, 1, 20, 20), (5, 5, 6, 6), (5, 5, 5, 9), (30, 5, 45, 9)),
        "2": annotation((1, 1, 20, 20), width=400),
        "3": annotation(),
        "4": bomb + annotation((1, 1, 20, 20)),
    }
    with zipfile.ZipFile(tmp_path / "boxes.zip", "w") as archive:
        for stem, text in files.items():
            archive.writestr(f"annotations/{'test' if stem == '1' else 'train'}/{stem}.xml", text)
    dataset = load_dataset(tree, SIZE, boxes=tmp_path / "boxes.zip")
    np.testing.assert_allclose(dataset.boxes[0], [(0.25, 0, 0.5, 1), (0, 0, 1, 0.5)])
    assert [len(boxes) for boxes in dataset.boxes] == [2, 0, 0, 0, 0, 0]
    _, dropped = load_boxes(tmp_path / "boxes.zip", dataset.table)
    reasons = dropped.groupby("image")["reason"].agg(" | ".join)
    for word in ("stain", "no area", "outside", "most of its boxes"):
        assert word in reasons["glass/1.png"]
    assert "annotated at 400x30, the photograph has 40x30" in reasons["glass/2.png"]
    assert "no object" in reasons["metal/3.png"] and "no annotation" in reasons["metal/5.png"]
    assert "Entities" in reasons["metal/4.png"] or "DTD" in reasons["metal/4.png"]


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_annotation_is_dropped(tree, tmp_path, compression):
    """Whatever its compression's decoder raises."""
    with zipfile.ZipFile(tmp_path / "boxes.zip", "w", compression) as archive:
        archive.writestr("0.xml", annotation((1, 1, 20, 20)))
    content = bytearray((tmp_path / "boxes.zip").read_bytes())
    content[44] ^= 255  # beyond the local header of 35 bytes and LZMA's properties
    (tmp_path / "boxes.zip").write_bytes(content)
    dataset = load_dataset(tree, SIZE, boxes=tmp_path / "boxes.zip")
    assert not any(map(len, dataset.boxes))
    assert load_boxes(tmp_path / "boxes.zip", dataset.table)[1]["reason"][0] != "no annotation"


def test_box_lies_on_its_object_after_squashing():
    """One geometry: the square's bright pixels fill the box's fractions of the frame."""
    photograph = np.zeros((300, 400, 3), np.uint8)
    photograph[60:180, 100:300] = 255
    ((x0, y0, x1, y1),) = to_frame(np.array([(101, 61, 300, 180)]), 400, 300) * 40
    bright = squash(Image.fromarray(photograph), 40)[:, :, 0] > 127
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == (x0, y0, x1, y1)


# ---- the real photographs ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trashnet(tmp_path_factory, trashnet_zip):
    """TrashNet's local edition at 64 px, prepared once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPER_REPRO_CACHE", str(tmp_path_factory.mktemp("trashnet")))
        return load_dataset(trashnet_zip, 64)


class TestTrashNet:
    pytestmark = pytest.mark.trashnet

    def test_whole_and_recognised(self, trashnet):
        """2,527 photographs of 512x384 in six classes, whatever the edition."""
        assert trashnet.name == "trashnet"
        counts = trashnet.table["label"].value_counts()
        assert counts.to_dict() == {
            "cardboard": 403,
            "glass": 501,
            "metal": 410,
            "paper": 594,
            "plastic": 482,
            "trash": 137,
        }
        assert set(zip(trashnet.table["width"], trashnet.table["height"], strict=True)) == {(512, 384)}

    def test_conflicting_photographs_are_excluded(self, trashnet):
        """The three that stand under two labels have equal pixels here as well."""
        table = trashnet.table.set_index("image")
        names = {
            "glass/glass115",
            "metal/metal91",
            "glass/glass176",
            "plastic/plastic152",
            "glass/glass389",
            "plastic/plastic332",
        }
        assert set(table.index[table["excluded"]]) == {f"{name}.jpg" for name in names}
        for first, second in (("glass115", "metal91"), ("glass176", "plastic152"), ("glass389", "plastic332")):
            rows = [np.flatnonzero(table.index.str.endswith(f"/{name}.jpg"))[0] for name in (first, second)]
            np.testing.assert_array_equal(trashnet.images[rows[0]], trashnet.images[rows[1]])

    def test_boxes_beside_the_zip_are_taken(self, trashnet, trashnet_zip):
        """2,518 photographs have boxes; the nine others are listed, trash14 with the reason."""
        has_box = np.array([len(boxes) > 0 for boxes in trashnet.boxes])
        _, dropped = load_boxes(trashnet_zip.with_name("boxes.zip"), trashnet.table)
        without = set(trashnet.table["image"][~has_box])
        assert len(without) == 9 and without <= set(dropped["image"])
        assert {"trash/trash14.jpg", "trash/trash92.jpg", "trash/trash76.jpg"} <= without
        assert dropped.set_index("image").loc["trash/trash14.jpg", "reason"].str.contains("stain").all()
        largest = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).max() for boxes in trashnet.boxes if len(boxes)]
        assert np.mean(largest) == pytest.approx(0.58, abs=0.01)
