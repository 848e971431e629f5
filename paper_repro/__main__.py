"""The command `paper-repro`, also `python -m paper_repro`: explain photographs, or reproduce the project's results."""

import argparse
from pathlib import Path

from paper_repro.workflow import reproduce
from paper_repro.workflow.processes import run_command


def main() -> None:
    """Does what the command line says; exits with 0, with 1 where a part failed, with 2 at a user's mistake."""
    parser = argparse.ArgumentParser(prog="paper-repro", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    explaining = commands.add_parser(
        "explain",
        help="what a trained network says of photographs, and where it looks",
        description="Writes a page with what a network says of photographs, where it looks and how far to trust it. "
        "Works without a connection. Photographs in folders with the names of the classes give the accuracy as well.",
    )
    explaining.add_argument("photographs", nargs="+", type=Path, metavar="PHOTO", help="a photograph, folder or zip")
    names = "trashnet/stage (default), trashnet/none, rendered/stage, rendered/none"
    explaining.add_argument("--network", help=f"{names}, or the folder of a run of yours, OUT/ARM/foldK")
    explaining.add_argument("--compare", nargs=2, metavar="ARM", help="two arms side by side, such as: none stage")
    explaining.add_argument("--layer", help="whose map is shown; default: the last one with 4 cells a side or more")
    explaining.add_argument("--out", type=Path, default=Path("explained"), help="a folder; default: explained")
    explaining.set_defaults(command=explain)
    reproducing = commands.add_parser(
        "reproduce",
        help="the notebooks of a profile and all that they make",
        description=reproduce.__doc__.splitlines()[0],
    )
    reproduce.add_arguments(reproducing)
    reproducing.set_defaults(command=reproduce_and_report)
    args = parser.parse_args()
    run_command(lambda: args.command(args))


def explain(args: argparse.Namespace) -> int:
    """Explains the photographs of the command line and says where the page lies."""
    from paper_repro.explain import DEFAULT, arms_of, explain, open_network  # they import torch

    name = args.network or DEFAULT
    names = arms_of(name, args.compare) if args.compare else [name]
    count, problems = explain(args.photographs, [open_network(name, args.layer) for name in names], args.out)
    print(f"photographs explained: {count}; open {args.out / 'index.html'}")
    for photograph, reason in problems:
        print(f"not read: {photograph}: {reason}")
    return 1 if problems else 0


def reproduce_and_report(args: argparse.Namespace) -> int:
    """Runs the workflow, then writes the page that says what was found."""
    status = reproduce.main(args)
    if status == 0 and not args.dry_run:
        from paper_repro.evidence.report import write_report  # it imports torch

        if page := write_report(reproduce.output_folder(args)):
            print(f"What was found: {page}")
    return status


if __name__ == "__main__":
    main()
