"""Run the workflow (`Snakefile`) for one profile: one at a time per output folder, and stopped as a whole.

    paper-repro reproduce [--profile NAME] [--data PATH] [--out PATH] [--set JSON] [--dry-run] [-- OPTIONS]

Snakemake alone leaves its lock behind when it is killed, and at SIGTERM it waits for the running notebooks. Options
that name an executor or a Snakemake profile make the notebooks run on a cluster: see docs/cluster.md.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

from paper_repro.config import load_profile
from paper_repro.files import ReproError, atomic_write, project_root
from paper_repro.keys import find_runs
from paper_repro.photographs.downloads import locate
from paper_repro.photographs.folders import open_tree
from paper_repro.workflow.parameters import parse_json
from paper_repro.workflow.plan import describe
from paper_repro.workflow.processes import PARENT, cores, follow_parent, hold_lock, on_stop

SETTINGS = ".settings.json"  # in the output folder: the profile and what replaces its keys
GRACE = 20  # seconds between the request to stop and the kill
TRASHNET = 2527, 6  # images and classes: a look ahead need not download them
ELSEWHERE = ("-e", "--executor", "--profile", "--workflow-profile")  # Snakemake's options that name a cluster


def reproduce(profile: str, overrides: dict, out: Path, options: list[str], dry_run: bool = False) -> int:
    """Runs what is missing or out of date in `out` and returns Snakemake's exit status.

    Of data that come divided the published split is the only fold: `folds` becomes [0] unless `overrides` name others.

    Args:
        options: for Snakemake.
        dry_run: print what there is to do (`plan.describe`), and make nothing.

    Raises:
        ReproError: before anything starts: a wrong value or path, `out` cannot be written to or is in use.
        SystemExit: 128 + signal, when SIGINT, SIGTERM or SIGHUP stopped it.
    """
    root = project_root()
    config = load_profile(profile, **overrides)  # refuses a wrong value before anything starts
    # Absolute, because the notebooks have other working directories.
    paths = {key: path for key in ("data", "boxes", "weights") if os.path.isabs(path := getattr(config, key) or "")}
    for key, path in paths.items():
        if not os.path.exists(path):
            remedy = "correct the path, or leave it out for the profile's own"
            if key not in overrides:
                remedy = f"it is the profile's own: data/README.md says where from; or give another {key}"
            raise ReproError(f"{key}: {path} does not exist: {remedy}")
    if config.data == "trashnet":
        images, classes = TRASHNET
    else:
        with open_tree(locate(config.data)) as tree:  # refuses what is no data set
            images, classes = len(tree.entries), len(tree.classes)
        if any(entry.part for entry in tree.entries):
            if "folds" in overrides and config.folds != [0]:
                only = f"{config.data} comes with a split of its own, which is fold 0, the only one"
                raise ReproError(f"folds: {only}: set folds to [0], or leave them out")
            print(f"data: {config.data} comes divided: this split is kept, as fold 0 and the only one", flush=True)
            overrides = overrides | {"folds": [0]}
            config = load_profile(profile, **overrides)
    if profile.endswith((".yaml", ".yml")):
        profile = str(Path(profile).resolve())
    reference = root / "results" / "reference"
    if out == reference or reference in out.parents:
        raise ReproError(f"OUT: {out} is the committed reference run: choose another folder under results/")
    if dry_run:
        print(describe(config, out, images, classes))
        return 0
    with hold_lock(out / ".lock", str(out)) as lock:
        # Nobody else works here while we hold our lock: a lock of Snakemake's was left by a killed run.
        shutil.rmtree(out / ".snakemake" / "locks", ignore_errors=True)
        cluster = any(option.split("=")[0] in ELSEWHERE for option in options)
        settings = out / SETTINGS  # a file, as Snakemake's --config turns nested numbers into text
        text = json.dumps({"profile": profile, "overrides": overrides | paths, "cluster": cluster})
        with atomic_write(settings) as path:
            path.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(root / "Snakefile"), "--directory", str(out)]
        command += ["--configfile", str(settings)]
        command += ["--scheduler", "greedy", "--rerun-triggers", "mtime", "--ignore-incomplete"]
        if not cluster:  # the limits of this machine; the notebooks themselves print here what they do
            command += ["--cores", str(cores()), "--resources", "gpu=1", "--quiet", "all"]
        # At SIGTERM the notebooks on this machine end, at SIGINT Snakemake cancels those on a cluster.
        return _run([*command, *options], lock, signal.SIGINT if cluster else signal.SIGTERM)


def _run(command: list[str], lock: IO, ending: signal.Signals) -> int:
    """Runs Snakemake in a session of its own, which `ending` stops as a whole; it inherits the lock."""
    stopped, env = [], os.environ | {PARENT: str(os.getpid())}
    process = subprocess.Popen(command, env=env, start_new_session=True, pass_fds=[lock.fileno()])

    def stop(number):
        stopped.append((number, time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, ending)

    with on_stop(stop):
        while process.poll() is None:
            time.sleep(0.2)
            if stopped and time.monotonic() > stopped[0][1] + GRACE:
                os.killpg(process.pid, signal.SIGKILL)
    if stopped:
        raise SystemExit(128 + stopped[0][0])
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command, which `main` takes."""
    parser.add_argument("--profile", help="a name in profiles/ or the path of a YAML file; default: smoke")
    parser.add_argument("--data", help="rendered, trashnet, or a path: folder, zip or CSV; default: the profile's")
    parser.add_argument("--out", help="default: results/PROFILE")
    parser.add_argument("--set", help="JSON object of other keys of the profile", metavar="JSON")
    parser.add_argument("--dry-run", action="store_true", help="say how many trainings, hours and GB; make nothing")
    parser.add_argument("options", nargs="*", help="options for Snakemake, after --")


def output_folder(args: argparse.Namespace) -> Path:
    """The folder that the command line names, or the profile's."""
    return (project_root() / (args.out or Path("results") / Path(args.profile or "smoke").stem)).resolve()


def main(args: argparse.Namespace) -> int:
    """Makes what the command line names and lists the results."""
    follow_parent()
    profile, overrides = args.profile or "smoke", parse_json(args.set or "{}", "SET")
    if args.data:  # maybe a path as seen by make's caller: `make -C FOLDER` changes the working directory
        path = Path(os.environ.get("CALLER", ""), args.data)
        overrides["data"] = str(path) if path.exists() and not Path(args.data).exists() else args.data
    out = output_folder(args)
    if args.dry_run:
        return reproduce(profile, overrides, out, args.options, dry_run=True)
    if status := reproduce(profile, overrides, out, args.options):
        message = "error: not everything could be made; the first error above says why. Finished results are kept: "
        print(message + "correct the cause and call again to continue.", file=sys.stderr)
        return status
    print(f"Everything is done. In {out}:")
    notebooks = [*out.glob("*.ipynb"), *find_runs(out, "*.ipynb").values()]
    found = {"executed notebooks": notebooks, "HTML pages": out.glob("html/*.html")}
    found |= {name: out.glob(f"{name}/*") for name in ("figures", "tables")}
    for kind, files in found.items():
        names = sorted(str(file.relative_to(out)) for file in files)
        print(f"  {kind} ({len(names)})", *names, sep="\n    ")
    return 0
