"""Run the workflow (`Snakefile`) for one profile: one at a time per output folder, and stopped as a whole.

    python -m paper_repro.workflow.reproduce [--profile NAME] [--data PATH] [--out PATH] [--set JSON] [-- OPTIONS]

Snakemake alone leaves its lock behind when it is killed, and at SIGTERM waits for the notebooks that are running.
With options that name an executor or a Snakemake profile, the notebooks run on a cluster: see docs/cluster.md.
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
from paper_repro.workflow.parameters import parse_json
from paper_repro.workflow.processes import PARENT, cores, follow_parent, hold_lock, on_stop

GRACE = 20  # seconds between the request to stop and the kill
ELSEWHERE = ("-e", "--executor", "--profile", "--workflow-profile")  # Snakemake's options that name a cluster


def reproduce(profile: str, overrides: dict, out: Path, options: list[str]) -> int:
    """Runs what is missing or out of date in `out` and returns Snakemake's exit status.

    Args:
        overrides: keys of the configuration, in place of the profile's.
        options: further options for Snakemake.

    Raises:
        ReproError: a value is impossible, a path does not exist, `out` must not be written to or is in use; nothing
            was started.
        SystemExit: 128 + signal, when SIGINT, SIGTERM or SIGHUP stopped it.
    """
    root = project_root()
    config = load_profile(profile, **overrides)  # complains before anything starts
    # Absolute, as the notebooks have other working directories.
    paths = {key: path for key in ("data", "boxes", "weights") if os.path.isabs(path := getattr(config, key) or "")}
    for key, path in paths.items():
        if not os.path.exists(path):
            raise ReproError(f"{key}: {path} does not exist: correct the path, or leave it out for the profile's own")
    overrides = overrides | paths
    if profile.endswith((".yaml", ".yml")):
        profile = str(Path(profile).resolve())
    reference = root / "results" / "reference"
    if out == reference or reference in out.parents:
        raise ReproError(f"OUT: {out} is the committed reference run: choose another folder under results/")
    with hold_lock(out / ".lock", str(out)) as lock:
        # Whoever holds our lock is alone, so that a lock of Snakemake's is one that a killed run left.
        shutil.rmtree(out / ".snakemake" / "locks", ignore_errors=True)
        cluster = any(option.split("=")[0] in ELSEWHERE for option in options)
        settings = out / ".settings.json"  # a file, as Snakemake's --config turns nested numbers into text
        with atomic_write(settings) as path:
            text = json.dumps({"profile": profile, "overrides": overrides, "cluster": cluster})
            path.write_text(text, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(root / "Snakefile"),
            "--directory",
            str(out),
            "--configfile",
            str(settings),
            "--rerun-triggers",
            "mtime",
            "--ignore-incomplete",
            "--scheduler",
            "greedy",
        ]
        if not cluster:  # what this machine has; and the notebooks say themselves, on this terminal, what they do
            command += ["--cores", str(cores()), "--resources", "gpu=1", "--quiet", "all"]
        return _run([*command, *options], lock, signal.SIGINT if cluster else signal.SIGTERM)


def _run(command: list[str], lock: IO, ending: signal.Signals) -> int:
    """Runs Snakemake in a session of its own, which is stopped as a whole, by the signal `ending`: at SIGTERM the
    notebooks on this machine end, at SIGINT Snakemake cancels those that run elsewhere. It inherits the lock, so that
    nobody else starts while it lives."""
    stopped: list[tuple[signal.Signals, float]] = []

    def stop(number):
        stopped.append((number, time.monotonic()))
        with suppress(ProcessLookupError):
            os.killpg(process.pid, ending)

    process = subprocess.Popen(
        command, env=os.environ | {PARENT: str(os.getpid())}, start_new_session=True, pass_fds=[lock.fileno()]
    )
    with on_stop(stop):
        while process.poll() is None:
            time.sleep(0.2)
            if stopped and time.monotonic() > stopped[0][1] + GRACE:
                os.killpg(process.pid, signal.SIGKILL)
    if stopped:
        raise SystemExit(128 + stopped[0][0])
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _from_caller(data: str | None) -> str | None:
    """`make -C FOLDER` changes the working directory, but a path was written for the one it was called in."""
    caller = os.environ.get("CALLER")
    if data and caller and not Path(data).exists() and (Path(caller) / data).exists():
        return str(Path(caller) / data)
    return data


def _summary(out: Path) -> str:
    """Where the results lie."""
    places = {
        "executed notebooks": ["*.ipynb", "*/fold*/*.ipynb"],
        "HTML pages": ["html/*.html"],
        "figures": ["figures/*"],
        "tables": ["tables/*"],
    }
    lines = [f"Everything is done. In {out}:"]
    for name, patterns in places.items():
        files = sorted(file.relative_to(out) for pattern in patterns for file in out.glob(pattern))
        lines += [f"  {name} ({len(files)})", *(f"    {file}" for file in files)]
    return "\n".join(lines)


def main() -> int:
    follow_parent()
    parser = argparse.ArgumentParser(prog="paper_repro.workflow.reproduce", description=__doc__.splitlines()[0])
    parser.add_argument("--profile", help="a name in profiles/ or the path of a YAML file; default: smoke")
    parser.add_argument("--data", help="synthetic, trashnet, or the path of a folder or zip; default: the profile's")
    parser.add_argument("--out", help="default: results/PROFILE")
    parser.add_argument("--set", help="JSON object: other keys of the profile", metavar="JSON")
    parser.add_argument("options", nargs="*", help="for Snakemake, after --")
    args = parser.parse_args()
    profile = args.profile or "smoke"
    try:
        overrides = parse_json(args.set or "{}", "SET")
        if args.data:
            overrides["data"] = _from_caller(args.data)
        out = project_root() / (args.out or Path("results") / Path(profile).stem)
        status = reproduce(profile, overrides, out.resolve(), args.options)
    except ReproError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if status:
        print(
            "error: not everything could be made; the first error above says why. What is finished is kept: "
            "after mending it, call again to continue.",
            file=sys.stderr,
        )
        return status
    print(_summary(out.resolve()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
