"""Objects of a class on one sheet, to look at: python preview.py CLASS [--kind KIND] --out sheet.png."""

import argparse

import numpy as np
import render
from PIL import Image
from scipy.ndimage import binary_dilation


def outlined(picture):
    """The picture with the mask's outline in magenta."""
    image = picture.image.copy()
    image[binary_dilation(picture.mask) & ~picture.mask] = (255, 0, 255)
    return image


def sheet(images, columns):
    """Images (S, S, 3) uint8 in rows."""
    size = len(images[0])
    rows = -(-len(images) // columns)
    paper = np.full((rows * size, columns * size, 3), 255, np.uint8)
    for number, image in enumerate(images):
        y, x = number // columns * size, number % columns * size
        paper[y : y + size, x : x + size] = image
    return Image.fromarray(paper)


def main():
    """Renders and saves the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("label", choices=list(render.MAKERS))
    parser.add_argument("--kind", help="one kind only")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=192, help="side of a picture, pixels")
    parser.add_argument("--outlines", action="store_true", help="draw the masks' outlines")
    parser.add_argument("--out", required=True)
    given = parser.parse_args()
    render.start(threads=1)
    images = []
    for number in range(given.count):
        seeds = render.Seeds(*[number] * 4)
        picture = render.photograph(given.label, given.seed, seeds, given.size, samples=16, kind=given.kind)
        print(number, picture.facts, flush=True)
        images.append(outlined(picture) if given.outlines else picture.image)
    sheet(images, columns=4).save(given.out)


if __name__ == "__main__":
    main()
