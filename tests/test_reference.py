"""What may be committed of a run: numbers, and nothing that shows a photograph."""

import pandas as pd
import pytest

from paper_repro.files import ReproError
from paper_repro.reference import FILES, collect


def test_numbers_alone_are_collected_from_finished_runs(tmp_path):
    """Executed notebooks and unfinished runs stay behind; collecting twice gives the same bytes."""
    for fold in (0, 1):
        folder = tmp_path / "runs" / "none" / f"fold{fold}"
        folder.mkdir(parents=True)
        for name in (*FILES, "02_baseline.ipynb"):
            (folder / name).write_text(name)
        pd.DataFrame({"image": ["null"], "gain": [1 / 3]}).to_csv(folder / "measures.csv", index=False)
    (folder / "done").unlink()
    (written,) = collect(tmp_path / "runs", tmp_path / "reference")
    assert sorted(path.name for path in written.iterdir()) == sorted([*FILES, "measures.csv.gz"])
    table = pd.read_csv(written / "measures.csv.gz", keep_default_na=False)
    assert table["image"][0] == "null" and table["gain"][0] == pytest.approx(1 / 3, rel=1e-4)
    before = (written / "measures.csv.gz").read_bytes()
    collect(tmp_path / "runs", tmp_path / "reference")
    assert (written / "measures.csv.gz").read_bytes() == before
    assert not (tmp_path / "reference" / "none" / "fold1").exists()


def test_no_finished_run_is_an_error(tmp_path):
    with pytest.raises(ReproError, match="holds no finished run"):
        collect(tmp_path, tmp_path / "reference")
