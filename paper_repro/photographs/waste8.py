"""waste8 out of the repository that publishes it: every listed photograph, checked, in one zip with a folder per class.

    python -m paper_repro.photographs.waste8 CLONE_OR_ZIP OUT.zip

The photographs name no licence, so that this project holds only the list of them, `data/splits/waste8_files.csv`.
"""

import argparse
import hashlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from paper_repro.files import ReproError, atomic_write, brief, progress
from paper_repro.photographs.folders import open_zip, read_file
from paper_repro.photographs.folds import COMMITTED

REPOSITORY = "https://github.com/cardstdani/WasteClassificationNeuralNetwork"
COMMIT = "34ea0fa0ecb7e35b26b10c39091cf995a5d1ddce"
FOLDER = "WasteImagesDataset"
LISTING = COMMITTED / "waste8_files.csv"
MOST_LISTED = 20  # files in one message


def take(source: Path, out: Path, listing: pd.DataFrame) -> None:
    """Writes the listed photographs of `source` into the zip `out`; an earlier `out` is replaced at success alone.

    Args:
        source: a clone of REPOSITORY, or a zip of it, at COMMIT.
        listing: path (below FOLDER), bytes and sha256 of each photograph.

    Raises:
        ReproError: no such source, a hostile or damaged zip, photographs that are missing or differ (it names the first
            MOST_LISTED of them), or `out` is `source` or cannot be written.
    """
    problems = []
    with _open_source(source) as read:
        if out.exists() and out.samefile(source):
            raise ReproError(f"{out} is what the photographs are read from: give another name for the new zip")
        with (
            atomic_write(out) as path,
            zipfile.ZipFile(path, "w") as archive,
            progress(len(listing), f"checking {source.name}", "files") as bar,
        ):
            for row in listing.itertuples():
                content, problem = _check(read, row)
                if problem:
                    problems.append(f"  {row.path!r} {problem}")
                elif not problems:
                    archive.writestr(zipfile.ZipInfo(f"waste8/{row.path}"), content)  # no time: the same zip every time
                bar.update()
            if problems:
                raise ReproError(_describe(source, problems, len(listing)))


def _check(read: Callable[[str], bytes], row) -> tuple[bytes, str]:
    """The content of one listed photograph, and what is wrong with it ("": nothing)."""
    try:
        content = read(row.path)
    except (KeyError, FileNotFoundError, NotADirectoryError):
        return b"", "is missing"
    except Exception as error:  # a damaged entry of a zip raises errors of any type
        return b"", f"cannot be read ({brief(error)})"
    if len(content) != row.bytes:
        return content, f"has {len(content):,} bytes instead of {row.bytes:,}"
    return content, "" if hashlib.sha256(content).hexdigest() == row.sha256 else "has another sha256"


def _describe(source: Path, problems: list[str], count: int) -> str:
    lines = [f"{len(problems)} of the {count} photographs of waste8 are not in {source} as they were published:"]
    lines += problems[:MOST_LISTED]
    if len(problems) > MOST_LISTED:
        lines.append(f"  and {len(problems) - MOST_LISTED} more")
    if source.is_dir():
        remedy = f"give the top folder of a clone, after: git -C '{source}' checkout --force {COMMIT}"
    else:
        remedy = f"download it again: {REPOSITORY}/archive/{COMMIT}.zip"
    return "\n".join([*lines, f"nothing was written; {remedy}"])


@contextmanager
def _open_source(source: Path) -> Iterator[Callable[[str], bytes]]:
    """Gives the content of a photograph by its path below FOLDER, which lies in a clone, or in a zip below anything."""
    if source.is_dir():
        yield lambda path: read_file(source / FOLDER / path)
        return
    with open_zip(source) as archive:
        members = {f"/{member.filename}".partition(f"/{FOLDER}/")[2]: member for member in archive.infolist()}
        yield lambda path: archive.read(members[path])


def main() -> None:
    """Takes what the command line names."""
    parser = argparse.ArgumentParser(
        prog="paper_repro.photographs.waste8",
        description="Takes the photographs of waste8 out of the repository that publishes them, checks the size and "
        "sha256 of each, and writes one zip with a folder per class.",
        epilog=f"The repository: {REPOSITORY}, commit {COMMIT}.",
    )
    parser.add_argument("source", type=Path, metavar="CLONE_OR_ZIP", help="a clone of the repository, or its zip")
    parser.add_argument("out", type=Path, metavar="OUT.zip", help="the zip to write")
    args = parser.parse_args()
    listing = pd.read_csv(LISTING)
    try:
        take(args.source, args.out, listing)
    except ReproError as error:
        parser.exit(2, f"error: {error}\n")
    print(f"{len(listing):,} photographs checked. Next: make reproduce PROFILE=waste8 DATA={args.out}")


if __name__ == "__main__":
    main()
