"""What networks say of somebody's photographs, where they look, how far to trust it: a table, pictures, a page."""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from paper_repro import evaluate, figures, trust, webpage
from paper_repro.arms import stage_layers
from paper_repro.augment import to_input
from paper_repro.config import ARMS
from paper_repro.files import ReproError, atomic_write, brief, check_writable, csv_bytes, progress, project_root
from paper_repro.heatmaps import SMALLEST_GRID, class_cams
from paper_repro.photographs.folders import Entry, is_picture, open_items, read_file
from paper_repro.photographs.folds import near_duplicate_groups
from paper_repro.photographs.pictures import reason_for, square_picture, squash
from paper_repro.runs import PACKAGE, Run, load_run, packages

DEFAULT = "package:trashnet/stage"
SHOWN = 384  # longest side of a picture on the page, pixels
UNSURE = 0.5  # a probability below it
BATCH = 32
MOST_MISTAKES = 12


class Network(NamedTuple):
    """A run, what the page calls it, the layer of its maps, and what it has seen, where that is known."""

    name: str
    run: Run
    layer: str
    familiar: trust.Familiar | None


class Photograph(NamedTuple):
    """name: the path, as messages show it. folder: the name of the folder it was found in, "" for a single file."""

    name: str
    folder: str
    read: Callable[[], bytes]


class Answer(NamedTuple):
    """What one network says of one photograph: class -> probability, the most probable class, the raw map (h, w) for
    it, the distance to what the network has seen (NaN where that is not known), and whether that is far."""

    probabilities: dict[str, float]
    said: str
    cam: Tensor
    distance: float
    unlike: bool


def arms_of(network: str, arms: Sequence[str]) -> list[str]:
    """The networks beside `network`, the name or folder of a run, that have these arms in its place.

    Raises:
        ReproError: no such arm, or no part of the name is one.
    """
    parts = PurePath(network).parts
    place = next((i for i in reversed(range(len(parts))) if parts[i] in ARMS), None)
    if unknown := [arm for arm in arms if arm not in ARMS]:
        raise ReproError(f"--compare: '{brief(unknown[0])}' is no arm: give two, such as none stage")
    if len(set(arms)) < len(arms):
        raise ReproError(f"--compare: {arms[0]} stands there twice: give two arms, such as none stage")
    if place is None:
        raise ReproError(f"--compare: {brief(network)} names no arm to replace: give a folder such as OUT/stage/fold0")
    return [str(PurePath(*parts[:place], arm, *parts[place + 1 :])) for arm in arms]


def open_network(name: str, layer: str | None = None) -> Network:
    """Opens a network by its name, with or without "package:", or by its run's folder.

    Args:
        layer: one of the names of `arms.stage_layers`; None for the last one whose map is fine enough.

    Raises:
        ReproError: no such network or layer.
    """
    if PACKAGE + name in packages() and not os.path.exists(name):
        name = PACKAGE + name
    elif not name.startswith(PACKAGE) and not any(os.path.exists(place) for place in (name, project_root() / name)):
        names = " ".join(package.removeprefix(PACKAGE) for package in packages())
        raise ReproError(f"--network: there is no {brief(name)}: give the folder of a run, or one of: {names}")
    run = load_run(name)
    layers = stage_layers(run.model)
    if layer is not None and layer not in layers:
        raise ReproError(f"--layer: {run.arm} has no '{brief(layer)}': use one of {', '.join(layers)}")
    return Network(run.arm, run, layer or _finest(run, layers), trust.load_familiar(run))


def _finest(run: Run, layers: dict) -> str:
    """The last layer whose map has SMALLEST_GRID cells a side, else the first."""
    blank = torch.zeros(1, 3, run.config.image_size, run.config.image_size)
    for name, module in reversed(layers.items()):
        if min(class_cams(run.model, module, blank, torch.tensor([0])).shape[1:]) >= SMALLEST_GRID:
            return name
    return next(iter(layers))


def find(paths: Sequence[Path], out: Path, archives: ExitStack) -> list[Photograph]:
    """The photographs that paths name: files, and what is a picture by its name in folders and zips, but for what lies
    in `out`; each once.

    Args:
        archives: holds opened zips.

    Raises:
        ReproError: no such path, a folder that cannot be read, a hostile zip, or no photograph at all.
    """
    found: dict[str, Photograph] = {}
    for path in paths:
        if not os.path.exists(path):  # False for a name that no file can have, too
            raise ReproError(f"{brief(path)} does not exist: give photographs, folders or zips of them")
        if not path.is_dir() and path.suffix.lower() != ".zip":
            found.setdefault(str(path.resolve()), Photograph(_readable(path), "", partial(read_file, path)))
            continue
        items, read = archives.enter_context(open_items(path))
        for parts, details in sorted(items.items()):
            place = path.joinpath(*parts)
            if details and is_picture(parts[-1]) and out.resolve() not in place.resolve().parents:
                entry = Entry("", "/".join(parts), *details)
                photograph = Photograph(_readable(place), place.parent.name, partial(read, entry))
                found.setdefault(str(place.resolve()), photograph)
    if not found:
        raise ReproError(f"no photograph in {', '.join(map(brief, paths))}: give JPEG or PNG files, or their folder")
    return list(found.values())


def _readable(path: Path) -> str:
    """The path as text that can be written, whatever bytes its name has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def remarks(answers: dict[str, Answer], truth: str | None = None) -> list[str]:
    """What a reader should know before believing the answers on one photograph, a sentence each.

    Args:
        answers: by the network's name.
        truth: the class, where it is known.
    """
    found = []
    for name, answer in answers.items():
        said, share = answer.said, answer.probabilities[answer.said]
        if truth is not None and said != truth:
            found.append(f"The network {name} is wrong: it says {said}, and the folder says {truth}.")
        if answer.unlike:
            found.append(f"Unlike what the network {name} has seen: its answer may be worth nothing here.")
        if share < UNSURE:
            found.append(f"The network {name} is unsure: {said}, its answer, has a probability of only {share:.0%}.")
        if not answer.cam.any():
            found.append(f"The map of the network {name} is empty: at this layer nothing speaks for {said}.")
    if len({answer.said for answer in answers.values()}) > 1:
        found.append(f"The networks disagree: {', '.join(f'{name} says {a.said}' for name, a in answers.items())}.")
    return found


def about(networks: Sequence[Network]) -> list[str]:
    """What the networks were trained on and how far to trust them and the page, a paragraph each."""
    lines = []
    for network in networks:
        facts, metrics, whole = network.run.environment, network.run.metrics, network.run.fold < 0
        learnt = facts.get(
            "trained_on", f"{facts['images']['train']:,} photographs of {PurePath(network.run.config.data).name}"
        )
        low, high = metrics["accuracy_interval"]
        lines.append(
            f"The network {network.name} was trained on {learnt}. "
            f"{'Networks trained in the same way on a part of them were' if whole else 'It was'} right for "
            f"{metrics['accuracy']:.1%} of {metrics['images']:,} others of the same collection (95% interval {low:.1%} "
            f"to {high:.1%}). Expect fewer where the ground, the light or the number of objects is another."
        )
    classes = networks[0].run.classes
    lines.append(f"Every photograph gets one of {len(classes)} answers, whatever it shows: {', '.join(classes)}.")
    if all(network.familiar for network in networks):
        lines.append(
            "A photograph is marked as unlike what a network has seen if its features lie further from the training "
            f"photographs than those of {1 - trust.MARKED:.0%} of others of the same collection. A photograph without "
            "this mark may still get a wrong answer."
        )
    else:
        lines.append("Whether a photograph is unlike the training photographs was not measured for these networks.")
    return [*lines, "A map shows which places speak for the answer, scaled to its own maximum. It is no proof."]


def explain(paths: Sequence[Path], networks: Sequence[Network], out: Path) -> tuple[int, list[tuple[str, str]]]:
    """Writes index.html, predictions.csv and overlays/ into `out`, in place of those of an earlier call.

    Where every photograph lies in a folder with the name of a class, the page says how often the networks are right.

    Args:
        paths: photographs, folders and zips.
        networks: with names of their own and the same classes.

    Returns:
        The number of photographs that were explained, and name and reason of those that could not be read.

    Raises:
        ReproError: before any work: what `find` refuses, networks of different classes, or an `out` that cannot be
            written to or holds something else; later: no photograph can be read, or the disk is full.
    """
    if len({network.run.classes for network in networks}) > 1:
        raise ReproError("--compare: the networks know different classes: compare arms of the same data")
    named = {name.casefold(): name for name in networks[0].run.classes}
    cards, strips, rows, small, problems = [], {}, [], [], []
    with ExitStack() as archives:
        photographs = find(paths, out, archives)
        _check(out)
        labelled = all(photograph.folder.casefold() in named for photograph in photographs)
        for photograph, picture, answers in _explained(photographs, networks, problems):
            truth = named[photograph.folder.casefold()] if labelled else None
            card, strip = _card(len(cards) + 1, photograph.name, picture, answers, truth, networks)
            cards.append(card)
            strips[f"{len(cards):04}-{_plain(photograph.name)}.jpg"] = strip
            rows += [_row(photograph.name, name, answer, truth) for name, answer in answers.items()]
            small.append(squash(Image.fromarray(picture), 64))
    if not cards:
        raise ReproError(f"none of the {len(problems)} photographs can be read, such as {': '.join(problems[0])}")
    table = pd.DataFrame(rows)
    checks = _checks(table, networks, np.stack(small)) if labelled else []
    values = {"about": about(networks), "problems": problems, "checks": checks, "photographs": cards}
    title = f"Photographs explained by {' and '.join(network.name for network in networks)} ({len(cards)})"
    page = webpage.render(
        "explain.html", title=title, classes=networks[0].run.classes, card_width=8 + 9 * len(networks), **values
    )
    _write(out, {"index.html": page.encode(), "predictions.csv": csv_bytes(table, "%.5g")}, strips)
    return len(cards), problems


def _check(out: Path) -> None:
    """Refuses a folder that holds something else than an earlier call's page, or that cannot be written to."""
    if out.is_dir() and any(out.iterdir()) and not webpage.is_page_of("explain.html", out / "index.html"):
        raise ReproError(f"--out: {out} holds other files: give a new or empty folder")
    if out.exists() and not out.is_dir():
        raise ReproError(f"--out: {out} is no folder: give a new or empty one")
    check_writable(out)


def _write(out: Path, files: dict[str, bytes], strips: dict[str, bytes]) -> None:
    """The page first: by it a later call knows the folder."""
    for name, content in (files | {f"overlays/{name}": strip for name, strip in strips.items()}).items():
        with atomic_write(out / name) as path:
            path.write_bytes(content)
    for earlier in (out / "overlays").glob("*.jpg"):
        if earlier.name not in strips:
            earlier.unlink()


def _explained(
    photographs: Sequence[Photograph], networks: Sequence[Network], problems: list[tuple[str, str]]
) -> Iterator[tuple[Photograph, np.ndarray, dict[str, Answer]]]:
    """Each photograph that can be read, its picture for the page and the answers by the network's name.

    Name and reason of the others go to `problems`.
    """
    with progress(len(photographs), "explaining", "photographs") as bar:
        for start in range(0, len(photographs), BATCH):
            batch = []
            for photograph in photographs[start : start + BATCH]:
                try:
                    batch.append((photograph, *_decode(photograph, networks)))
                except Exception as error:  # a damaged or hostile file makes decoders raise errors of any type
                    problems.append((photograph.name, reason_for(error)))
                bar.update()
            by_network = [_answers(network, [squares for *_, squares in batch]) for network in networks]
            for (photograph, picture, _), *answers in zip(batch, *by_network, strict=True):
                yield photograph, picture, dict(zip((network.name for network in networks), answers, strict=True))


def _decode(photograph: Photograph, networks: Sequence[Network]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """The photograph (H, W, 3) for the page, in its own shape, and its squares (S, S, 3) by S for the networks."""
    data = photograph.read()
    sizes = {network.run.config.prepared_size for network in networks}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's; what matters is an error here
        square, (width, height) = square_picture(data, SHOWN)
        squares = {size: square_picture(data, size)[0] for size in sizes}
    scale = SHOWN / max(width, height)
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(square).resize(shape)), squares


def _answers(network: Network, squares: list[dict[int, np.ndarray]]) -> list[Answer]:
    """What a network says of photographs, given as squares by their size."""
    if not squares:
        return []
    run, familiar = network.run, network.familiar
    images = np.stack([by_size[run.config.prepared_size] for by_size in squares])
    inputs = to_input(images, run.config.image_size)  # (N, 3, S, S)
    far = torch.full((len(images),), torch.nan)  # (N,)
    if familiar:
        logits, features = trust.answer(run.model, inputs)  # (N, K), (N, D)
        far = trust.distances(features, familiar.features)
    else:
        with torch.inference_mode():
            logits = run.model(inputs)  # (N, K)
    cams = class_cams(run.model, stage_layers(run.model)[network.layer], inputs, logits.argmax(dim=1))  # (N, h, w)
    answers = []
    for shares, cam, distance in zip(logits.softmax(dim=1), cams, far, strict=True):
        probabilities = dict(zip(run.classes, shares.tolist(), strict=True))
        unlike = familiar is not None and float(distance) > familiar.threshold
        answers.append(Answer(probabilities, run.classes[int(shares.argmax())], cam, float(distance), unlike))
    return answers


def _card(number, name, picture, answers, truth, networks) -> tuple[dict, bytes]:
    """What the template shows of a photograph, and its pictures side by side as a JPEG."""
    maps, shown = [picture], []
    for network, (title, answer) in zip(networks, answers.items(), strict=True):
        drawn = (255 * figures.overlay(answer.cam, picture)).astype(np.uint8)
        if not answer.cam.any():  # as in figures.heatmap_gallery: hatched
            rows, columns = np.indices(picture.shape[:2])
            drawn = np.where(((rows + columns) % 16 < 3)[..., None], 160, picture.mean(2, keepdims=True)).astype(
                np.uint8
            )
            drawn = np.broadcast_to(drawn, picture.shape)
        maps.append(drawn)
        grid = f"{network.layer}, grid {answer.cam.shape[0]}×{answer.cam.shape[1]}"
        shown.append(
            {
                "network": title,
                "said": answer.said,
                "probabilities": answer.probabilities,
                "picture": webpage.address(webpage.jpeg(drawn)),
                "caption": f"{title}: {answer.said}; {grid}" + ("" if answer.cam.any() else ", empty"),
                "alt": f"Map of {title} for {answer.said}" + _where(answer.cam),
            }
        )
    card = {"number": number, "name": _short(name), "remarks": remarks(answers, truth), "answers": shown}
    return card | {"picture": webpage.address(webpage.jpeg(picture))}, webpage.jpeg(np.hstack(maps))


def _where(cam: Tensor) -> str:
    """Where the largest value of a raw map (h, w) lies, in words."""
    if not cam.any():
        return ", empty"
    row, column = divmod(int(cam.argmax()), cam.shape[1])
    down, across = (min(2, 3 * place // size) for place, size in ((row, cam.shape[0]), (column, cam.shape[1])))
    place = f"{('top', 'middle', 'bottom')[down]} {('left', 'centre', 'right')[across]}"
    return f", strongest at the {place}"


def _row(name: str, network: str, answer: Answer, truth: str | None) -> dict:
    row: dict[str, Any] = {"photograph": name, "network": network} | ({} if truth is None else {"truth": truth})
    row |= {"predicted": answer.said} | {f"p_{label}": share for label, share in answer.probabilities.items()}
    return row | {"map_maximum": float(answer.cam.max()), "distance": answer.distance, "unlike": answer.unlike}


def _short(name: str) -> str:
    """The name of a file with that of its folder."""
    return "/".join(PurePath(name).parts[-2:])


def _plain(name: str) -> str:
    """The name of a file without its folders and ending, with signs that every system takes."""
    return re.sub(r"[^\w-]+", "_", PurePath(name).stem)[:40]


def _checks(table: pd.DataFrame, networks: Sequence[Network], small: np.ndarray) -> list[dict[str, Any]]:
    """Per network how often it is right, which classes it confuses and its worst mistakes.

    Args:
        table: rows as of `_row`, with truth.
        small: (N, 64, 64, 3) the photographs; near-duplicates count as one in the intervals.
    """
    checks = []
    for network in networks:
        part = table[table["network"] == network.name].rename(columns={"photograph": "image"}).reset_index(drop=True)
        groups, classes = pd.Series(near_duplicate_groups(small), part["image"]), network.run.classes
        frame = part[["image", "truth", *(f"p_{name}" for name in classes)]]
        found = evaluate.metrics(frame, classes, groups)
        low, high = found["accuracy_interval"]
        sentence = f"{found['accuracy']:.1%} of {len(frame)} answers are right (95% interval {low:.1%} to {high:.1%}). "
        sentence += "The truth is the name of each photograph's folder."
        shares = frame.filter(like="p_").max(axis=1)
        wrong = shares[part["truth"] != part["predicted"]].nlargest(MOST_MISTAKES)
        mistakes = [
            {
                "number": row + 1,
                "name": _short(part["image"][row]),
                "text": f"{part['predicted'][row]} {share:.0%}, not {part['truth'][row]}",
            }
            for row, share in wrong.items()
        ]
        confusion = evaluate.confusion(frame, classes).to_dict("index")
        checks.append({"network": network.name, "sentence": sentence, "confusion": confusion, "mistakes": mistakes})
    return checks
