"""The data set: which pictures there are, and rendering those that are missing.

    python make.py FOLDER [--first N] [--jobs 2]

writes FOLDER/CLASS/CLASS0001.jpg, FOLDER_masks/CLASS/CLASS0001.png and FOLDER/scenes.csv. Pictures that stand in
scenes.csv are kept, so that a second call goes on where the first one ended.
"""

import argparse
import csv
import multiprocessing
import shutil
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import render
from PIL import Image
from tqdm import tqdm

SEED = 2026
COUNTS = {"cardboard": 300, "glass": 330, "metal": 310, "paper": 360, "plastic": 335, "trash": 165}  # 1,800 in all
TWINS = 0.04  # share of pictures that have a twin: the same thing from another angle, or in another light
CONFLICTS = (("paper", "cardboard"), ("glass", "plastic"), ("metal", "trash"))  # one picture under two labels each
QUALITY = 88  # of the JPEG
COLUMNS = (
    *("image", "seed", "kind", "attempt", "ground", "light", "clutter"),
    *("azimuth", "elevation", "field", "aperture", "area", "twin_of", "twin", "same_as"),
)


@dataclass(frozen=True)
class Entry:
    """A picture of the data set.

    image: "class/file". number: of its place, light and view. twin_of: the picture whose object and place it has; twin:
    "angle" or "light", what differs. same_as: the picture of another class whose copy it is.
    """

    image: str
    number: int
    twin_of: str = ""
    twin: str = ""
    same_as: str = ""

    @property
    def label(self):
        """The class."""
        return self.image.split("/")[0]


def plan():
    """All entries in the order of rendering; a beginning of it has every class in its share.

    The classes are shuffled over the numbers, and a number decides place, light and view: so these know no class.
    """
    rng = np.random.default_rng(SEED)
    labels = rng.permutation(np.repeat(list(COUNTS), list(COUNTS.values())))
    copies = {label: original for original, label in CONFLICTS}  # a class's last picture is the copy
    left, entries, taken = dict(COUNTS), [], dict.fromkeys(COUNTS, 0)

    def add(label, number, **more):
        taken[label] += 1
        left[label] -= 1
        entries.append(Entry(f"{label}/{label}{taken[label]:04d}.jpg", number, **more))
        return entries[-1].image

    for number, label in enumerate(labels):
        label = str(label)
        if left[label] <= (label in copies):
            continue
        original = add(label, number)
        if rng.random() < TWINS and left[label] > (label in copies):
            add(label, len(labels) + number, twin_of=original, twin=str(rng.choice(["angle", "light"])))
    for label, original in copies.items():
        add(label, 0, same_as=f"{original}/{original}{COUNTS[original] // 2:04d}.jpg")
    return entries


def families(entries):
    """Lists of entries that are rendered together: a picture, its twin, and its copy under another label."""
    found = {entry.image: [entry] for entry in entries if not entry.twin_of and not entry.same_as}
    for entry in entries:
        if entry.twin_of or entry.same_as:
            found[entry.twin_of or entry.same_as].append(entry)
    return list(found.values())


def render_family(family, folder):
    """Renders a family's pictures into the folder; returns their rows of scenes.csv."""
    first, *others = family
    seeds = render.Seeds(thing=first.number, place=first.number, light=first.number, view=first.number)
    picture = render.photograph(first.label, SEED, seeds)
    rows = [_save(first, picture, folder)]
    for entry in others:
        if entry.twin:
            step, light = (entry.number, first.number) if entry.twin == "angle" else (0, entry.number)
            again = render.Seeds(first.number, first.number, light, first.number, step)
            rows.append(
                _save(entry, render.photograph(entry.label, SEED, again, attempt=picture.facts["attempt"]), folder)
            )
        else:
            for source, target in zip(_paths(first, folder), _paths(entry, folder), strict=True):
                shutil.copyfile(source, target)
            rows.append({"image": entry.image, "same_as": entry.same_as, "seed": SEED} | picture.facts)
    return rows


def _paths(entry, folder):
    """Where the picture and its mask lie; their folders are made."""
    mask = Path(folder.with_name(f"{folder.name}_masks"), entry.image).with_suffix(".png")
    for path in (folder / entry.image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    return folder / entry.image, mask


def _save(entry, picture, folder):
    path, mask = _paths(entry, folder)
    Image.fromarray(picture.image).save(path, quality=QUALITY, optimize=True)
    Image.fromarray(picture.mask).save(mask, optimize=True)
    names = {key: value for key, value in asdict(entry).items() if key in COLUMNS}
    return names | {"seed": SEED} | picture.facts


def read_rows(path):
    """Rows of scenes.csv, none where there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_rows(path, rows, order):
    """scenes.csv, in the order of the plan."""
    partial = path.with_suffix(".partial")
    with open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: order[row["image"]]))
    partial.replace(path)


def main():
    """Renders what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, help="only the first N objects of the plan")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    entries = plan()
    order = {entry.image: number for number, entry in enumerate(entries)}
    table = given.folder / "scenes.csv"
    rows = read_rows(table)
    done = {row["image"] for row in rows if (given.folder / row["image"]).exists()}
    rows = [row for row in rows if row["image"] in done]
    missing = [f for f in families(entries)[: given.first] if not all(entry.image in done for entry in f)]
    context, failures = multiprocessing.get_context("spawn"), []
    with ProcessPoolExecutor(given.jobs, context, initializer=render.start) as pool:
        tasks = [pool.submit(render_family, family, given.folder) for family in missing]
        for task in tqdm(as_completed(tasks), total=len(tasks), unit="object"):
            if error := task.exception():
                failures.append(str(error))
                continue
            new = task.result()
            rows = [row for row in rows if row["image"] not in {one["image"] for one in new}] + new
            write_rows(table, rows, order)
    if failures:
        raise SystemExit("\n".join(failures))


if __name__ == "__main__":
    main()
