"""The workflow: which notebook runs for which arm and fold, and after what.

`make reproduce` (paper_repro.reproduce) is the way to start it: it checks the configuration, keeps a second run out and
stops everything at a signal. On its own:

    snakemake --snakefile Snakefile --directory results/smoke --cores 2 --scheduler greedy --rerun-incomplete \
        --rerun-triggers params input mtime --config profile=smoke

The working directory is the output folder. Snakemake deletes the outputs of a job that it starts or that fails: the
only ones it knows are the marks in `.done`, so that nothing of an earlier run is lost with a failure.

What makes a job run again: its `key` (rerun trigger params), the list of runs (input) and a newer mark of a job it
needs (mtime). The key holds what decides the results: the run's key, the notebook's code and for figures the
package's code, each without comments. Neither notebooks nor modules are inputs, whose times change with a git checkout.
A notebook that runs again loads its trained weights, unless something that decides their numbers changed.
"""

import json
import os
import sys
from pathlib import Path

import paper_repro
from paper_repro.config import ARMS, ATTENTION_ARMS, load_profile
from paper_repro.keys import data_stamp, run_key
from paper_repro.processes import PARENT, follow_parent
from paper_repro.syntax import notebook_hash, syntax_hash

PYTHON = sys.executable
ROOT = Path(workflow.basedir)
NOTEBOOKS = ROOT / "notebooks"
OVERRIDES = config.get("overrides", {})
CONFIG = load_profile(config["profile"], **OVERRIDES)
DATA = data_stamp(CONFIG.data)
PACKAGE = syntax_hash(path.read_text(encoding="utf-8") for path in sorted(Path(paper_repro.__file__).parent.glob("*.py")))
COMMON = json.dumps({
    "profile": config["profile"],
    "data": OVERRIDES.get("data"),
    "overrides": {key: value for key, value in OVERRIDES.items() if key != "data"},
    "out": str(Path.cwd()),
})
MATRIX = json.dumps({"arms": CONFIG.arms, "folds": CONFIG.folds})
RUNS = [f".done/{arm}-fold{fold}" for arm in CONFIG.arms for fold in CONFIG.folds]
MARKS = [*RUNS, ".done/01_data_exploration", ".done/04_confusion_matrices", ".done/05_heatmap_gallery"]


def training_notebook(wildcards):
    attention = wildcards.arm.removesuffix("-identity") in ATTENTION_ARMS
    return "03_stage_se_training" if attention else "02_baseline"


def training_key(wildcards):
    run = run_key(CONFIG, wildcards.arm, int(wildcards.fold), DATA)
    return [run, notebook_hash(NOTEBOOKS / f"{training_notebook(wildcards)}.ipynb")]


def data_key(name):
    """For notebooks that look at the data and at how it is prepared, not at the training."""
    shown = {"data", "boxes", "image_size", "num_folds", "split_seed", "crop_area", "rotate", "jitter", "mixup"}
    return [DATA, PACKAGE, notebook_hash(NOTEBOOKS / f"{name}.ipynb"), CONFIG.model_dump_json(include=shown)]


def drop_stale_marks():
    """What someone deleted, or made anew by hand in JupyterLab, is to be made again."""
    for mark in [Path(mark) for mark in MARKS if Path(mark).exists()]:
        arm, run, fold = mark.name.rpartition("-fold")
        folder = Path(arm, f"fold{fold}") if run else Path()
        files = [folder / name for name in json.loads(mark.read_bytes())["sha256"]]
        done = folder / "done" if run else mark
        if not all(file.exists() for file in [*files, done]) or done.read_bytes() != mark.read_bytes():
            mark.unlink()


if workflow.is_main_process:
    follow_parent()
    drop_stale_marks()
os.environ[PARENT] = str(os.getpid())  # the notebooks' processes end with this one


wildcard_constraints:
    arm="|".join(ARMS),
    fold=r"\d+",


# exec: the notebook's process is Snakemake's own child, which signals reach and which sees its parent die.
EXECUTE = (
    "exec {PYTHON:q} -m paper_repro.execute {NOTEBOOKS:q}/{params.notebook}.ipynb "
    "--done {output:q} --parameters {COMMON:q} "
)


rule all:
    input:
        MARKS,


rule explore:
    priority: 1  # it reports what is wrong with the data
    output:
        ".done/01_data_exploration",
    params:
        notebook="01_data_exploration",
        key=data_key("01_data_exploration"),
    shell:
        EXECUTE + "--output {params.notebook}.ipynb --html html/{params.notebook}.html"


rule train:
    output:
        ".done/{arm}-fold{fold}",
    params:
        notebook=training_notebook,
        key=training_key,
    threads: CONFIG.threads
    resources:
        gpu=int(CONFIG.accelerator != "cpu" and Path("/dev/nvidiactl").exists()),  # one training at a time on it
    shell:
        EXECUTE + """--parameters '{{"arm": "{wildcards.arm}", "fold": {wildcards.fold}}}' """
        "--output {wildcards.arm}/fold{wildcards.fold}/{params.notebook}.ipynb "
        "--html html/{params.notebook}-{wildcards.arm}-fold{wildcards.fold}.html"


rule compare:
    input:
        RUNS,
    output:
        ".done/{notebook}",
    wildcard_constraints:
        notebook="04_confusion_matrices|05_heatmap_gallery",
    params:
        notebook="{notebook}",
        key=lambda wildcards: data_key(wildcards.notebook),
    threads: CONFIG.threads
    shell:
        EXECUTE + "--parameters {MATRIX:q} --output {params.notebook}.ipynb --html html/{params.notebook}.html"
