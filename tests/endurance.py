"""What a run survives, counted: the long series of kills, damage and hostile input, and their table.

    python tests/endurance.py OUT        # about 25 minutes on two cores; writes OUT/endurance.csv

`make test` runs the same tests with a sample of each series (PAPER_REPRO_ENDURANCE, set here, makes them whole). The
rows on a real full disk need root, which may mount one; elsewhere those tests are skipped, and counted as such.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pandas as pd

# What happens -> the tests that show it, as regular expressions of file::test.
ROWS = {
    "kill -9 during training, in validation, between epochs, while saving": ["interruption::test_killed_training"],
    "kill -9 while a checkpoint is written": ["interruption::test_killed_while_saving"],
    "a checkpoint damaged on disk: flipped bits": ["interruption::test_flipped_bit"],
    "a checkpoint damaged on disk: truncations": ["interruption::test_cut_checkpoint"],
    "disk full, read-only data folder, unwritable output": ["full_disk::"],
    "signals, dead kernel, exit, time-out, exception: to a notebook": [
        "execute::test_never_done",
        "execute::test_stopped",
        "execute::test_executor_killed",
    ],
    "signals and kills: to the whole run": ["reproduce::test_stopped", "reproduce::test_killed$"],
    "a run killed at random moments": ["reproduce::test_killed_at_a_random"],
    "two runs started at once, a stale lock": ["reproduce::test_two_at_once", "execute::test_one_at_a_time"],
    "downloads: cut at 10 offsets and 7 other failures in one test, dead server, interruption": [
        "hostile_data::test_(failed|short|dead)"
    ],
    "hostile zip": ["hostile_data::test_(hostile_zip|one_damaged|an_entry)"],
    "hostile weights or checkpoint file": [
        "interruption::test_(payload|file_that|newer)",
        "model::test_hostile_weights",
    ],
    "hostile or odd names": ["execute::test_page", "data::test_odd_names", "execute::test_braces"],
    "bad parameters": [
        "config::test_(refused|hostile|unknown|every)",
        "execute::test_(wrong|refused)",
        "training::test_impossible",
        "reproduce::test_refused",
    ],
    "bad pictures": ["data::test_(unsound|unusual|pixel|broken|own_photograph|forbidden)"],
    "bad folders": ["data::test_(folder_that|a_changed|equal_pixels|damaged_prepared)"],
    "resume elsewhere or with another configuration": ["interruption::test_other"],
}


def run(report: Path) -> None:
    """Runs the rows' tests with the long series; a failure of theirs is counted, not raised."""
    names = {test.split("::")[0] for tests in ROWS.values() for test in tests}
    files = [path for name in sorted(names) for path in Path(__file__).parent.rglob(f"test_{name}.py")]
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-m",
            "not trashnet",
            "-o",
            "junit_family=xunit1",
            f"--junitxml={report}",
            *files,
        ],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"PAPER_REPRO_ENDURANCE": "1"},
    )


def table(report: Path) -> pd.DataFrame:
    """One row of ROWS per line (what, tests, passed, failed, skipped, seconds), with what the tests noted.

    Raises:
        LookupError: a row without a test, which a renamed test would leave.
    """
    cases = list(ElementTree.parse(report).iter("testcase"))
    lines = []
    for what, patterns in ROWS.items():
        found = [
            case
            for case in cases
            if any(
                re.search(pattern, f"{case.get('classname').split('test_', 1)[-1]}::{case.get('name').split('[')[0]}")
                for pattern in patterns
            )
        ]
        if not found:
            raise LookupError(f"no test for {what!r}")
        failed = sum(case.find("failure") is not None or case.find("error") is not None for case in found)
        skipped = sum(case.find("skipped") is not None for case in found)
        notes = pd.Series(
            [
                f"{note.get('name')}: {note.get('value')}"
                for case in found
                for note in case.iter("property")
                if note.get("name") != "moment"
            ],
            dtype=str,
        )
        lines.append(
            {
                "what happens": what,
                "tests": len(found),
                "passed": len(found) - failed - skipped,
                "failed": failed,
                "skipped": skipped,
                "seconds": round(sum(float(case.get("time")) for case in found)),
                "noted": "; ".join(f"{name} ({count})" for name, count in notes.value_counts().sort_index().items()),
            }
        )
    return pd.DataFrame(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder, "report.xml"))
        results = table(Path(folder, "report.xml"))
    results.to_csv(out / "endurance.csv", index=False)
    print(results.to_string(index=False))
    return int(results["failed"].any())


if __name__ == "__main__":
    sys.exit(main())
