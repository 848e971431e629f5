"""Photographs of one object are found by their keypoints; strangers are not joined."""

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from paper_repro.photographs.same_object import same_object_pairs


def test_a_turned_print_is_found():
    """Turned by 25 degrees and shrunk it is found, within its class alone; a plain picture has no keypoints."""
    rng = np.random.default_rng(0)
    prints = [gaussian_filter(rng.normal(size=(256, 256)), 2) for _ in range(3)]
    pictures = [Image.fromarray((128 + 600 * each).clip(0, 255).astype(np.uint8)) for each in prints]
    pictures += [pictures[0].rotate(25).resize((200, 200)).resize((256, 256)), Image.new("L", (256, 256), 128)]
    squares = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    found = same_object_pairs(squares, np.zeros(5), np.ones(5))
    assert found.tolist() == [[0, 3]]
    assert len(same_object_pairs(squares, np.array([0, 0, 0, 1, 1]), np.ones(5))) == 0
