"""Pages for a browser, out of the templates in `paper_repro/templates`: one file, which loads nothing else.

Every name in it is escaped.
"""

import base64
import io
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image


def render(template: str, **values) -> str:
    """The page of a template, such as "explain.html", with these values."""
    loader = PackageLoader("paper_repro")
    pages = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    return pages.get_template(template).render(generator=_generator(template), **values)


def is_page_of(template: str, path: Path) -> bool:
    """Whether a file is a page of this template, which may be written anew."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return _generator(template) in file.read(1000)


def _generator(template: str) -> str:
    return f"paper_repro, {template}"


def jpeg(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 as the content of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()


def address(jpeg: bytes) -> str:
    """A JPEG file's content as an address that holds the content itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
