"""Brings the small files of finished runs into the committed reference run.

    python -m paper_repro.reference results/cpu results/reference/scratch

Copied are numbers only: no weights, no executed notebook and no figure, which may show photographs. A finished run that
is there already is replaced; an unfinished one is passed over.
"""

import gzip
import shutil
import sys
from pathlib import Path

import pandas as pd

from paper_repro.files import ReproError, atomic_write

FILES = ("config.yaml", "history.csv", "predictions.csv", "metrics.json", "environment.json", "done")
LARGE = ("measures.csv", "gates.csv")


def collect(runs: str | Path, reference: str | Path) -> list[Path]:
    """Copies every finished ARM/foldK of `runs` into `reference` and returns the folders written.

    The large tables are rounded to five significant digits and compressed, which makes them a tenth of the size; the
    bytes depend on their content alone.

    Raises:
        ReproError: no finished run there.
    """
    written = []
    for done in sorted(Path(runs).glob("*/fold*/done")):
        source, target = done.parent, Path(reference) / done.parent.relative_to(runs)
        for name in FILES:
            with atomic_write(target / name) as path:
                shutil.copyfile(source / name, path)
        for name in LARGE:
            if (source / name).exists():
                table = pd.read_csv(source / name, keep_default_na=False, na_values=[""])
                with atomic_write(target / f"{name}.gz") as path:
                    path.write_bytes(gzip.compress(table.to_csv(index=False, float_format="%.5g").encode(), mtime=0))
        written.append(target)
    if not written:
        raise ReproError(f"{runs} holds no finished run (ARM/foldK/done): make some with `make reproduce`")
    return written


if __name__ == "__main__":
    try:
        print(*collect(*sys.argv[1:]), sep="\n")
    except ReproError as error:
        sys.exit(f"error: {error}")
