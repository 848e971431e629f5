"""Files from strangers: hostile zips are refused by name and reason, a failed download leaves nothing behind."""

import hashlib
import io
import os
import stat
import struct
import threading
import unicodedata
import zipfile
import zlib
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from paper_repro.data import load_dataset
from paper_repro.files import ReproError
from paper_repro.photographs import downloads, folders

SIZE = 16


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Nothing is written but into the cache folder."""
    monkeypatch.setenv("PAPER_REPRO_CACHE", str(tmp_path / "inner" / "cache"))
    (tmp_path / "inner" / "work").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "inner" / "work")


def picture(seed: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 20, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def sound_zip(path) -> zipfile.ZipFile:
    """An open zip with two sound classes."""
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED)
    for number in range(4):
        archive.writestr(f"{'glass' if number < 2 else 'metal'}/{number}.png", picture(number))
    return archive


# ---- zip --------------------------------------------------------------------------------------------------------


def make_upwards(path):
    with sound_zip(path) as archive:
        archive.writestr("glass/../../../escaped.png", picture(9))
    return r"'glass/../../../escaped.png': its path leads upwards"


def make_upwards_with_backslashes(path):
    with sound_zip(path) as archive:
        archive.writestr("glass\\..\\..\\escaped.png", picture(9))
    return "its path leads upwards"


def make_absolute(path):
    with sound_zip(path) as archive:
        archive.writestr("/tmp/escaped.png", picture(9))
    return "'/tmp/escaped.png': its path is absolute"


def make_drive(path):
    with sound_zip(path) as archive:
        archive.writestr("C:/glass/escaped.png", picture(9))
    return "'C:/glass/escaped.png': its path starts with a drive letter"


def make_link(path):
    with sound_zip(path) as archive:
        link = zipfile.ZipInfo("glass/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    return "'glass/link.png': it is a symbolic link"


def make_pipe(path):
    with sound_zip(path) as archive:
        pipe = zipfile.ZipInfo("glass/pipe.png")
        pipe.external_attr = (stat.S_IFIFO | 0o777) << 16
        archive.writestr(pipe, "")
    return "'glass/pipe.png': it is a device or pipe"


def make_ratio_bomb(path):
    with sound_zip(path) as archive:
        archive.writestr("glass/bomb.png", bytes(20 * 2**20))
    return r"'glass/bomb.png': it unpacks to .* times its size \(a bomb\)"


def make_size_bomb(path):
    with sound_zip(path) as archive:
        archive.writestr("glass/large.png", os.urandom(2**20))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")  # the directory's entry of the last file: 24 bytes on, its unpacked size
    content[at + 24 : at + 28] = struct.pack("<I", 2**30)
    path.write_bytes(content)
    return "'glass/large.png': 1,073,741,824 bytes unpacked are over the limit"


def make_total_bomb(path):
    with sound_zip(path):
        pass
    return "would unpack to more than 1,000 bytes"


def make_overlap(path):
    with sound_zip(path):
        pass
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 24] = struct.pack("<I", len(content))  # packed size: all of the archive
    path.write_bytes(content)
    return "its entries overlap"


def make_too_many(path):
    with sound_zip(path):
        pass
    return "4 entries are over the limit of 3"


def make_encrypted(path):
    with sound_zip(path):
        pass
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    return "'metal/3.png': it is encrypted"


def make_truncated(path):
    with sound_zip(path):
        pass
    path.write_bytes(path.read_bytes()[:-300])
    return r"is cut short or damaged .* copy or download it again"


def make_other_type(path):
    path.write_bytes(b"Rar!\x1a\x07\x00" + bytes(100))
    return "it is no zip but RAR"


def make_web_page(path):
    path.write_bytes(b"<html>log in</html>")
    return "it is no zip but a web page"


def make_empty_file(path):
    path.write_bytes(b"")
    return "it is no zip"


def make_equal_but_for_case(path):
    with sound_zip(path) as archive:
        archive.writestr("glass/0.PNG", picture(9))
    return "'glass/0.PNG' and 'glass/0.png' .* equal but for case"


def make_twice(path):
    with sound_zip(path) as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("glass/0.png", picture(9))
    return "'glass/0.png': its name stands twice"


def make_no_pictures(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    return "holds no pictures"


def make_unreadable_pictures(path):
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("glass/0.png", "metal/1.png"):
            archive.writestr(name, "text")
    return "the class 'glass' .* has no readable picture"


@pytest.mark.filterwarnings("ignore:data. 2 of the 2 files")
@pytest.mark.parametrize("make", [value for name, value in globals().copy().items() if name.startswith("make_")])
def test_hostile_zip_is_refused(make, tmp_path, monkeypatch):
    """By entry and reason, before anything is decoded, and nothing is written outside the cache folder."""
    path = tmp_path / "stranger.zip"
    message = make(path)
    if make is make_total_bomb:
        monkeypatch.setattr(folders, "TOTAL_LIMIT", 1000)
    if make is make_too_many:
        monkeypatch.setattr(folders, "ENTRY_LIMIT", 3)
    before = {file for file in tmp_path.rglob("*") if "cache" not in file.parts}
    with pytest.raises(ReproError, match=message):
        load_dataset(path, SIZE)
    assert {file for file in tmp_path.rglob("*") if "cache" not in file.parts} == before


def test_one_damaged_entry_stops_nothing(tmp_path):
    """A flipped byte in a zip is one line of the report."""
    path = tmp_path / "damaged.zip"
    with sound_zip(path):
        pass
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="1 of the 4 files .*\n  'glass/0.png': "):
        assert len(load_dataset(path, SIZE).images) == 3


def test_an_entry_for_the_folder_itself_does_not_count(tmp_path):
    """Some tools write "./" first."""
    path = tmp_path / "dotted.zip"
    with sound_zip(path) as archive:
        archive.writestr("./", "")
    assert load_dataset(path, SIZE).classes == ("glass", "metal")


def test_an_entry_that_ends_beyond_the_zip_is_listed(tmp_path):
    """Its sizes in the directory are larger than what is left of the file."""
    path = tmp_path / "short.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("glass/0.png", "glass/1.png", "metal/2.png", "metal/3.png"):
            archive.writestr(name, picture(int(name[-5])))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    size = struct.unpack_from("<I", content, at + 20)[0] + 4 * (46 + 11) + 22 + 100
    struct.pack_into("<II", content, at + 20, size, size)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="1 of the 4 files .*\n  'metal/3.png': [A-Z]"):
        assert len(load_dataset(path, SIZE).images) == 3


def test_an_entry_that_lies_about_its_size_gives_no_more_than_checked(tmp_path):
    """The directory says 10 bytes, the data unpack to a megabyte: the entry is refused while it is read."""
    path = tmp_path / "liar.zip"
    with sound_zip(path) as archive:
        archive.writestr("metal/4.png", bytes(2**20))
    content = bytearray(path.read_bytes())
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    path.write_bytes(content)
    with pytest.warns(UserWarning, match="'metal/4.png': Bad CRC"):
        assert len(load_dataset(path, SIZE).images) == 4


def unmarked_zip(path, names: list[bytes], extras: dict[bytes, bytes] | None = None):
    """A zip whose entries bear these bytes as names, without the mark of UTF-8, as macOS packs them."""
    extras = extras or {}
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            entry = zipfile.ZipInfo(f"~{number}".ljust(len(name), "~"))
            entry.extra = extras.get(name, b"")
            archive.writestr(entry, picture(number))
    content = path.read_bytes()
    for number, name in enumerate(names):
        content = content.replace(f"~{number}".ljust(len(name), "~").encode(), name)
    path.write_bytes(content)
    return path


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("label", ["Küchenabfälle", "垃圾", "пластик", "déchets ♻", "🗑 waste"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_unmarked_names_in_utf8_are_read_as_such(tmp_path, label, form):
    """Of classes and of files; the pictures are read under them."""
    names = [f"glass/{label}.png", "glass/1.png", f"{label}/2.png", f"{label}/{label}.png"]
    stored = [unicodedata.normalize(form, name).encode() for name in names]
    dataset = load_dataset(unmarked_zip(tmp_path / "mac.zip", stored), SIZE)
    assert set(dataset.classes) == {"glass", unicodedata.normalize("NFC", label)}
    assert set(dataset.table["image"]) == {unicodedata.normalize("NFC", name) for name in names}


@pytest.mark.parametrize(
    ("label", "coding"), [("Küche", "cp437"), ("垃圾", "gbk"), ("ごみ", "shift_jis"), ("é", "latin-1")]
)
def test_unmarked_names_in_another_coding_are_warned_of(tmp_path, label, coding):
    """They are read as DOS's, which is a guess: one warning gives their number, an example and the remedy."""
    names = [f"{label}/1.png".encode(coding), f"{label}/2.png".encode(coding), "Müll/3.png".encode(), b"glass/4.png"]
    with pytest.warns(UserWarning) as caught:
        dataset = load_dataset(unmarked_zip(tmp_path / "old.zip", names), SIZE)
    guess = label.encode(coding).decode("cp437")
    (warning,) = caught
    assert str(warning.message).startswith("data: 2 names in ") and "unpack it" in str(warning.message)
    assert set(dataset.classes) == {guess, "Müll", "glass"} and len(dataset.images) == 4
    assert coding != "cp437" or guess == label


def unicode_field(plain: bytes, name: str, checksum: int | None = None) -> bytes:
    field = struct.pack("<BI", 1, zlib.crc32(plain) if checksum is None else checksum) + name.encode()
    return struct.pack("<HHI", 0x9999, 4, 0) + struct.pack("<HH", 0x7075, len(field)) + field


@pytest.mark.filterwarnings("error")
def test_the_unicode_name_beside_a_plain_one_counts(tmp_path):
    """Info-ZIP's extra field; not where its checksum says that the plain name was changed after."""
    plain = [b"M?ll/1.png", b"glass/2.png", b"glass/3.png"]
    extras = {name: unicode_field(name, "Müll/1.png") for name in plain[:1]}
    extras[plain[2]] = unicode_field(plain[2], "other/3.png", checksum=7)
    dataset = load_dataset(unmarked_zip(tmp_path / "info.zip", plain, extras), SIZE)
    assert dataset.table["image"].tolist() == ["Müll/1.png", "glass/2.png", "glass/3.png"]


def test_the_unicode_name_is_checked_like_any_other(tmp_path):
    """It may not lead out of the archive either."""
    plain = [b"glass/1.png", b"metal/2.png"]
    extras = {plain[0]: unicode_field(plain[0], "../../escaped.png")}
    with pytest.raises(ReproError, match="'../../escaped.png': its path leads upwards"):
        load_dataset(unmarked_zip(tmp_path / "info.zip", plain, extras), SIZE)


# ---- download ---------------------------------------------------------------------------------------------------


@pytest.fixture
def server(monkeypatch):
    """A server on this machine; `answer` is called with each request's handler, requests are counted."""
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # pooch's pause between two attempts

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.requests += 1
            self.server.answer(self)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = 0
    server.base = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def source(server, tmp_path, monkeypatch):
    """A published data set on that server, in TrashNet's place."""
    with sound_zip(tmp_path / "published.zip") as archive:
        archive.writestr("metal/large.bin", os.urandom(100_000))
    content = (tmp_path / "published.zip").read_bytes()
    source = downloads.Source(f"{server.base}/set.zip", len(content), hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(downloads, "TRASHNET", source)
    server.content = content
    return source


def give(content, length=None, status=200, kind="application/zip"):
    """An answer with this body."""

    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        if length != "none":
            handler.send_header("Content-Length", str(len(content) if length is None else length))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def redirect(target):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", target)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def failures(server):
    """Ways in which a download goes wrong -> what the message says."""
    content = server.content
    wrong = bytes([content[0] ^ 1]) + content[1:]
    login = b"<html>please log in</html>"
    cuts = {offset: "could not download" for offset in np.linspace(0, len(content) - 1, 10).astype(int)}
    yield from ((f"cut at {offset}", give(content[:offset], len(content)), reason) for offset, reason in cuts.items())
    yield "cut, length unknown", give(content[:5000], "none"), "hash"
    yield "wrong bytes", give(wrong), "hash"
    yield "login page", give(login, kind="text/html"), "26 bytes instead of"
    yield "endless", give(content + bytes(10**6), "none"), "more than"
    yield "not found", give(b"no", status=404), "404"
    yield "server error", give(b"no", status=503), "503"
    yield "plain http", redirect(f"{server.base}/other.zip"), "redirected to plain http"


def test_failed_download_leaves_nothing_and_a_retry_succeeds(server, source, tmp_path):
    """Cut, wrong, a login page, a redirect to plain http: refused with the remedy; then all is well by itself."""
    cached = tmp_path / "inner" / "cache" / "downloads"
    for name, answer, reason in failures(server):
        server.answer, server.requests = answer, 0
        with pytest.raises(ReproError, match=f"(?s){reason}.*try again, or .* by hand into {cached} as set.zip"):
            downloads.download(source)
        assert server.requests == downloads.ATTEMPTS, name
        assert not list(cached.iterdir()), name
    server.answer = give(server.content)
    with pytest.warns(UserWarning, match="large.bin"):
        assert len(load_dataset("trashnet", SIZE).images) == 4
    server.requests = 0
    assert downloads.download(source).read_bytes() == server.content and not server.requests


def test_short_interruption_is_overcome(server, source):
    """The second attempt of the same call succeeds."""

    def answer(handler):
        give(server.content[:1000] if server.requests == 1 else server.content, len(server.content))(handler)

    server.answer = answer
    assert downloads.download(source).read_bytes() == server.content and server.requests == 2


def test_dead_server_and_a_file_put_by_hand(source, server, tmp_path):
    """Without a connection the message says where the file belongs; there it is found, and checked."""
    dead = replace(source, url="http://127.0.0.1:9/set.zip")
    with pytest.raises(ReproError, match="by hand into .*downloads as set.zip"):
        downloads.download(dead)
    by_hand = tmp_path / "inner" / "cache" / "downloads" / "set.zip"
    by_hand.write_bytes(server.content)
    assert downloads.download(dead) == by_hand
    by_hand.write_bytes(b"another file")
    with pytest.raises(ReproError, match="could not download"):
        downloads.download(dead)


def test_published_sources_are_pinned():
    """https, a commit and a sha256 for each."""
    for source in (downloads.TRASHNET, downloads.BOXES):
        assert source.url.startswith("https://") and len(source.sha256) == 64 and source.size > 10**6
        assert any(len(part) == 40 for part in source.url.split("/"))
