"""README's picture, from the runs that `make notebooks` has made: python docs/front_picture.py."""

import matplotlib.pyplot as plt

from paper_repro import evaluate, figures
from paper_repro.config import load_profile
from paper_repro.data import load_dataset
from paper_repro.files import project_root
from paper_repro.gallery import open_gallery
from paper_repro.keys import run_folder
from paper_repro.runs import load_run

ARMS = {"none": "plain network", "stage": "one gate\nper stage"}


def main() -> None:
    """Draws six photographs that both networks get right, each with both networks' heat maps at the claimed layer."""
    root, config = project_root(), load_profile("smoke")
    runs = {arm: load_run(run_folder(root / "results" / "smoke", arm, 0)) for arm in ARMS}
    shown = open_gallery(runs, load_dataset(config.data, config.prepared_size))
    rows = shown.pick_right(6)
    layer = evaluate.claimed_layer(shown.grids("none"))
    figure, axes = plt.subplots(3, len(rows), figsize=(2 * len(rows) + 0.6, 6.3), layout="constrained")
    lines = [shown.line("none", row, []) for row in rows]
    for ax, line, row in zip(axes[0], lines, rows, strict=True):
        ax.imshow(line["image"])
        ax.set_title(shown.dataset.classes[shown.truth[row]], fontsize=14)
    axes[0, 0].set_ylabel("photograph", fontsize=14)
    for below, (arm, name) in zip(axes[1:], ARMS.items(), strict=True):
        below[0].set_ylabel(name, fontsize=14)
        for ax, line, cam in zip(below, lines, shown.cams(arm, layer, rows), strict=True):
            ax.imshow(figures.overlay(cam, line["image"]))
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    figure.savefig(root / "docs" / "gallery.png", dpi=80)


if __name__ == "__main__":
    main()
