"""The workflow: which notebook runs for which arm and fold, and after what.

`make reproduce` (python -m paper_repro reproduce) is the way to start it: it checks the configuration, keeps a second
run out and stops everything at a signal. On its own, for example to look at what would run:

    snakemake --snakefile Snakefile --directory results/smoke --cores 2 --scheduler greedy --rerun-triggers mtime \
        --ignore-incomplete --config profile=smoke --dry-run

The working directory is the output folder. The only outputs that Snakemake knows are the marks in `.done`: it deletes
the outputs of a job that it starts or that fails, and nothing of an earlier run may be lost with a failure.

A mark's name ends in a key of everything that decides the result: for a training the run's key, what its measures
depend on and the notebook's code; for the others what they show of the configuration, the notebook's and the package's
code; all code without comments, docstrings and prose. A result that is out of date has no mark. A mark is written
last of all and in one step, so one that exists is complete even when Snakemake was killed before it took note.
A notebook that runs again loads its trained weights and its measures, unless something that decides them changed.
"""

import json
import os
import signal
import sys
from pathlib import Path

import paper_repro
from paper_repro.config import load_profile
from paper_repro.keys import data_stamp, regions_stamp, syntax_hash
from paper_repro.workflow.plan import all_runs, is_valid, mark, notebook_hash, training_marks, training_notebook
from paper_repro.workflow.processes import PARENT, follow_parent

PYTHON = sys.executable
NOTEBOOKS = Path(workflow.basedir) / "notebooks"
OVERRIDES = config.get("overrides", {})
CONFIG = load_profile(config["profile"], **OVERRIDES)
DATA, REGIONS = data_stamp(CONFIG.data), regions_stamp(CONFIG)
CLUSTER = config.get("cluster", False)  # the notebooks run on other machines than this process
# On a cluster the machine that asks may have no GPU, or one that others use.
GPU_HERE = not CLUSTER and Path("/dev/nvidiactl").exists()
MODULES = sorted(Path(paper_repro.__file__).parent.rglob("*.py"))
PACKAGE = syntax_hash(module.read_text(encoding="utf-8") for module in MODULES)

# Parameters of every notebook, and of those that compare runs.
COMMON = json.dumps({
    "profile": config["profile"],
    "data": OVERRIDES.get("data"),
    "overrides": {key: value for key, value in OVERRIDES.items() if key != "data"},
    "out": str(Path.cwd()),
})
MATRIX = json.dumps({"arms": CONFIG.arms, "folds": CONFIG.folds, "repeats": CONFIG.repeats})


RUNS = all_runs(CONFIG)


def training_parameters(run):
    return json.dumps(dict(zip(("arm", "fold", "repeat"), RUNS[run], strict=True)))


TRAININGS = list(training_marks(CONFIG, NOTEBOOKS).values())
# What notebook 01 shows of the configuration.
SHOWN = [
    getattr(CONFIG, name)
    for name in (
        "image_size", "num_folds", "grouped", "crop_area", "rotate", "jitter", "mixup",
    )
]
EXPLORATION = mark("01_data_exploration", notebook_hash(NOTEBOOKS / "01_data_exploration.ipynb"), DATA, PACKAGE, REGIONS, SHOWN)
COMPARISONS = [
    mark(notebook, notebook_hash(NOTEBOOKS / f"{notebook}.ipynb"), DATA, PACKAGE, REGIONS, TRAININGS)
    for notebook in ("04_confusion_matrices", "05_heatmap_gallery", "06_heatmap_tests")
]

if workflow.is_main_process:
    if CLUSTER:  # a script's background jobs ignore it, but it is what makes Snakemake cancel what it has submitted
        signal.signal(signal.SIGINT, signal.default_int_handler)
    follow_parent(signal.SIGINT if CLUSTER else signal.SIGTERM)
    for earlier in Path(".done").rglob("*"):
        if earlier.is_file() and not is_valid(earlier, Path()):
            earlier.unlink()
os.environ[PARENT] = str(os.getpid())  # the notebooks' processes end with this one

# exec: the notebook's process is Snakemake's own child, which signals reach and which sees its parent die.
# mem_mb and runtime (minutes) are what a cluster ends a job at; here they limit nothing unless Snakemake is told to.
EXECUTE = (
    "exec {PYTHON:q} -m paper_repro.workflow.execute {NOTEBOOKS:q}/{params.notebook}.ipynb "
    "--done {output:q} --parameters {COMMON:q} "
)


wildcard_constraints:
    run="|".join(RUNS),
    key="[0-9a-f]{12}",


rule all:
    input:
        EXPLORATION,
        TRAININGS,
        COMPARISONS,


rule explore:
    priority: 1  # it reports what is wrong with the data
    output:
        ".done/01_data_exploration-{key}",
    params:
        notebook="01_data_exploration",
    resources:
        mem_mb=4000,
        runtime=60,
    shell:
        EXECUTE + "--output {params.notebook}.ipynb --html html/{params.notebook}.html"


rule train:
    output:
        ".done/{run}-{key}",
    params:
        notebook=lambda wildcards: training_notebook(RUNS[wildcards.run][0]),
        parameters=lambda wildcards: training_parameters(wildcards.run),
        page=lambda wildcards: f"{training_notebook(RUNS[wildcards.run][0])}-{wildcards.run.replace('/', '-')}",
    threads: CONFIG.threads
    resources:
        mem_mb=8000,
        runtime=720,
        gpu=int(CONFIG.accelerator == "cuda" or (CONFIG.accelerator == "auto" and GPU_HERE)),  # one training at a time
    shell:
        EXECUTE + "--parameters {params.parameters:q} --output {wildcards.run}/{params.notebook}.ipynb "
        "--html html/{params.page}.html"


rule compare:
    input:
        TRAININGS,
    output:
        ".done/{notebook}-{key}",
    wildcard_constraints:
        notebook="04_confusion_matrices|05_heatmap_gallery|06_heatmap_tests",
    params:
        notebook="{notebook}",
    threads: CONFIG.threads
    resources:
        mem_mb=8000,
        runtime=240,
    shell:
        EXECUTE + "--parameters {MATRIX:q} --output {params.notebook}.ipynb --html html/{params.notebook}.html"
