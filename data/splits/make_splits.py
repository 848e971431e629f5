"""Makes the committed folds of a data set, `NAME.csv` and `NAME-repeat1.csv`: what shows one thing stays together.

    python data/splits/make_splits.py trashnet ../shared/data/trashnet/dataset-resized.zip
    python data/splits/make_splits.py waste8 ../shared/data/waste8/waste8.zip
    python data/splits/make_splits.py rendered data/rendered

Any edition will do, though another may move single pairs. TrashNet takes five minutes on two cores, waste8 seconds.

Near-identical photographs are found as in any data set (`paper_repro.photographs.folds`), those of one object from two
sides, in TrashNet and in the embedded set, within each class by their keypoints
(`paper_repro.photographs.same_object`).
"""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from paper_repro.files import atomic_write
from paper_repro.photographs.folders import open_tree
from paper_repro.photographs.folds import (
    COMMITTED_REPEATS,
    COMMITTED_SETS,
    folds_file,
    groups_from_pairs,
    make_folds,
    near_duplicate_pairs,
)
from paper_repro.photographs.pictures import square_picture
from paper_repro.photographs.same_object import same_object_pairs

SIZE = 256  # px
ASPECTS = {"trashnet": 4 / 3, "rendered": 1}  # width over height, of the sets whose keypoints are matched


def main(name: str, source: Path) -> None:
    with open_tree(source) as tree, ThreadPoolExecutor(os.cpu_count()) as pool:
        squares = np.stack(list(pool.map(lambda entry: square_picture(tree.read(entry), SIZE)[0], tree.entries)))
    table = pd.DataFrame([{"image": entry.image, "label": entry.label} for entry in tree.entries])
    pixels = pd.Series([hashlib.sha256(square).hexdigest() for square in squares])
    table["excluded"] = table["label"].groupby(pixels).transform("nunique") > 1
    near, same = near_duplicate_pairs(squares), np.empty((0, 2), np.int64)
    if name in ASPECTS:
        print("matching keypoints")
        same = same_object_pairs(squares, table["label"].to_numpy(), np.full(len(table), ASPECTS[name]))
    table["group"] = groups_from_pairs(np.concatenate([near, same]), len(table))
    for repeat in range(COMMITTED_REPEATS):
        folds = make_folds(table, num_folds=5, seed=repeat)
        with atomic_write(folds_file(name, repeat)) as path:
            folds.to_csv(path, index=False)
    sizes = table["group"].value_counts()
    print(
        f"{len(near)} near-identical pairs, {len(same)} pairs of one object, {len(sizes)} groups, "
        f"{sizes[sizes > 1].sum()} photographs in the {(sizes > 1).sum()} groups of two or more, "
        f"largest group {sizes.max()}, {table['excluded'].sum()} photographs excluded"
    )


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in COMMITTED_SETS:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]))
