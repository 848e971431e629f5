"""Where the photographs lie; the published files are downloaded once, checked against their size and sha256."""

import os
from dataclasses import dataclass
from pathlib import Path

import pooch
import requests

from paper_repro.files import ReproError, as_path, cache_dir, progress, project_root

ATTEMPTS = 3


@dataclass(frozen=True)
class Source:
    """A published file; its size in bytes."""

    url: str
    size: int
    sha256: str


DATA = "https://huggingface.co/datasets/garythung/trashnet/resolve/94cd17ebfd6702bf62281d3c89f22ff649815b46"
CODE = "https://raw.githubusercontent.com/garythung/trashnet/2f44b19a7a0079599782f7abe44ec8e990397b51"
TRASHNET = Source(
    url=f"{DATA}/dataset-resized.zip",
    size=42_834_870,
    sha256="c060e8abfe5d6de0578ca15be1ed8ad0794a865d333c3473d53d1d9ad6e38b8c",
)
BOXES = Source(
    url=f"{CODE}/annotations/cleaned_data_annotations.zip",
    size=1_175_504,
    sha256="8fc6a04fc4772ca073416f25902f17a5ea5f4934251f2629484ed4b81bb42acf",
)


def locate(data: str | os.PathLike) -> Path:
    """The path of the photographs of `data`: "rendered" (embedded), "trashnet" (downloaded if need be), or a path."""
    if data == "rendered":
        return project_root() / "data" / "rendered"
    return download(TRASHNET) if data == "trashnet" else as_path(data, "data")


def download(source: Source) -> Path:
    """The path of the verified file in the cache folder, where it is downloaded unless it exists.

    Raises:
        ReproError: no connection, another file than the published one, or a redirect to plain http.
    """
    name, folder = source.url.rpartition("/")[2], cache_dir("downloads")
    registry, urls = {name: f"sha256:{source.sha256}"}, {name: source.url}
    files = pooch.create(folder, "", registry=registry, urls=urls, retry_if_failed=ATTEMPTS - 1)
    try:
        return Path(files.fetch(name, downloader=lambda url, output, _: _transfer(url, output, source.size)))
    except (requests.RequestException, ValueError, OSError) as error:
        remedy = f"try again, or put the file by hand into {folder} as {name}"
        known = f"({source.size:,} bytes, sha256 {source.sha256})"
        raise ReproError(f"could not download {source.url} ({error}): {remedy} {known}") from error


def _transfer(url: str, output: str, size: int) -> None:
    """Downloads at most `size` bytes; pooch's own downloader has no limit: an endless answer would fill the disk."""
    headers, hooks = {"Accept-Encoding": "identity"}, {"response": _refuse_plain_http}
    with requests.get(url, stream=True, timeout=30, headers=headers, hooks=hooks) as response:
        response.raise_for_status()
        length = int(response.headers.get("content-length", size))
        if length != size:
            raise ValueError(f"the server offers {length:,} bytes instead of {size:,}: maybe a login or error page")
        with open(output, "wb") as file, progress(size, f"downloading {Path(url).name}", "B") as bar:
            for chunk in response.iter_content(2**16):
                if file.tell() + len(chunk) > size:
                    raise ValueError(f"the server sends more than {size:,} bytes")
                bar.update(file.write(chunk))


def _refuse_plain_http(response: requests.Response, **_) -> None:
    if response.is_redirect and response.headers["location"].lower().startswith("http:"):
        raise requests.exceptions.InvalidSchema(f"redirected to plain http, {response.headers['location']}")
