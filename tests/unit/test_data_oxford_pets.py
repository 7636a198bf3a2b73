"""Oxford-IIIT Pet from archives that are laid out as the published ones, and their download."""

import hashlib
import http.server
import io
import tarfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinycats.runtime.errors import UserError
from tinycats.runtime.vision import torchvision
from tinycats.sources.download import download
from tinycats.sources.oxford_pets import Archive, default_cache_dir, download_archives, oxford_pets

CATS = ["Bengal", "Egyptian_Mau"]
DOGS = {"beagle": 9, "great_pyrenees": 2, "pug": 5}


def pack(path: Path, files: dict[str, bytes]) -> Archive:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return Archive(path, hashlib.md5(path.read_bytes()).hexdigest())


HEAD = (
    b"<annotation><object><name>cat</name><bndbox><xmin>11</xmin><ymin>1</ymin><xmax>30</xmax><ymax>25</ymax></bndbox></object>"
    b"</annotation>"
)


@pytest.fixture
def archives(tmp_path: Path) -> tuple[Archive, Archive]:
    names = [f"{breed}_{i}" for breed in CATS for i in range(4)]
    names += [f"{breed}_{i}" for breed, count in DOGS.items() for i in range(count)]
    lines = [f"{name} 1 {1 if name[0].isupper() else 2} 1\n" for name in names]
    images = {f"images/{name}.jpg": name.encode() for name in names}
    return (
        pack(tmp_path / "images.tar.gz", images | {"images/Bengal_0.mat": b"x", "images/unlisted_1.jpg": b"x"}),
        pack(
            tmp_path / "annotations.tar.gz",
            {
                "annotations/README": b"",
                "annotations/._trainval.txt": b"clutter",
                "annotations/trainval.txt": "".join(lines[::2]).encode(),
                "annotations/test.txt": "".join(lines[1::2]).encode(),
                "annotations/xmls/Bengal_0.xml": HEAD,
            },
        ),
    )


def test_cats_keep_their_breed_dogs_become_other_and_test_stays_test(archives):
    images = {image.name: image for image in oxford_pets(*archives, other_max=100, seed=0)}
    assert Counter(image.class_name for image in images.values()) == {"Bengal": 4, "Egyptian_Mau": 4, "other": 16}
    assert images["Egyptian_Mau/Egyptian_Mau_3.jpg"].content == b"Egyptian_Mau_3"
    assert images["Egyptian_Mau/Egyptian_Mau_3.jpg"].split == "test"
    assert images["Egyptian_Mau/Egyptian_Mau_2.jpg"].split == ""
    assert images["other/great_pyrenees_1.jpg"].class_name == "other"
    assert {name: image.box for name, image in images.items() if image.box} == {"Bengal/Bengal_0.jpg": (10, 0, 20, 25)}


@pytest.mark.parametrize(("other_max", "expected"), [(3, [1, 1, 1]), (8, [3, 2, 3]), (12, [5, 2, 5]), (13, [6, 2, 5])])
def test_dogs_are_capped_and_spread_over_the_breeds(archives, other_max, expected):
    names = [image.name for image in oxford_pets(*archives, other_max=other_max, seed=0) if image.class_name == "other"]
    breeds = Counter(name.removeprefix("other/").rsplit("_", 1)[0] for name in names)
    assert [breeds[breed] for breed in DOGS] == expected


def test_the_choice_of_dogs_depends_on_the_seed_only(archives):
    chosen = [{image.name for image in oxford_pets(*archives, other_max=6, seed=seed)} for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_wrong_md5_names_the_file_and_both_sums(archives):
    images, annotations = archives
    wrong = Archive(annotations.path, "0" * 32)
    with pytest.raises(
        UserError, match=rf"annotations\.tar\.gz: wrong md5 sum, expected {'0' * 32}, got {annotations.md5}"
    ):
        next(oxford_pets(images, wrong, 10, 0))
    with pytest.raises(UserError, match=r"nowhere\.tar\.gz: not found"):
        next(oxford_pets(Archive(Path("nowhere.tar.gz"), "0" * 32), annotations, 10, 0))


def test_archives_that_lack_what_they_should_hold(tmp_path, archives):
    images, annotations = archives
    fewer = pack(tmp_path / "fewer.tar.gz", {"images/Bengal_0.jpg": b""})
    with pytest.raises(UserError, match=r"lacks 23 images of the annotations, such as Bengal_1\.jpg"):
        list(oxford_pets(fewer, annotations, 100, 0))
    with pytest.raises(UserError, match=r"has no trainval\.txt"):
        next(oxford_pets(images, fewer, 100, 0))
    strange = pack(tmp_path / "strange.tar.gz", {"annotations/trainval.txt": b"Bengal_0 1\n"})
    with pytest.raises(UserError, match="has 'Bengal_0 1' instead of"):
        next(oxford_pets(images, strange, 100, 0))
    for number, content in enumerate((b"<annotation>", b"<annotation></annotation>", HEAD.replace(b"11", b"eleven"))):
        damaged = pack(tmp_path / f"{number}.tar.gz", {"annotations/xmls/Bengal_0.xml": content})
        with pytest.raises(UserError, match=r"annotations/xmls/Bengal_0\.xml: has no object with a bndbox"):
            next(oxford_pets(images, damaged, 100, 0))


CONTENT = bytes(range(256)) * 5000


class Server(http.server.ThreadingHTTPServer):
    """Serves CONTENT, with ranges, and breaks off after `break_after` bytes of each answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.break_after = len(CONTENT)
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/images.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start : start + self.server.break_after])

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


MD5 = hashlib.md5(CONTENT).hexdigest()


def test_download_is_checked_and_not_repeated(tmp_path, server):
    path = tmp_path / "cache" / "images.tar.gz"
    for _ in range(2):
        download(server.url, path, MD5, "")
        assert path.read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_download_goes_on_where_it_broke_off(tmp_path, server):
    server.break_after = 500_000
    download(server.url, tmp_path / "file", MD5, "")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=500000-", "bytes=1000000-"]


def test_download_goes_on_in_the_next_run(tmp_path, server):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    download(server.url, tmp_path / "file", MD5, "")
    assert server.ranges == ["bytes=1000-"]
    (tmp_path / "file").rename(tmp_path / "file.part")  # complete, but killed before it got its name
    download(server.url, tmp_path / "file", MD5, "")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_content_is_refused_and_forgotten(tmp_path, server):
    with pytest.raises(UserError, match=f"wrong md5 sum, expected {'0' * 32}, got {MD5}"):
        download(server.url, tmp_path / "file", "0" * 32, "")
    assert list(tmp_path.iterdir()) == []


def test_without_network_one_line_says_how_to_go_on(tmp_path, monkeypatch):
    resources = [("http://127.0.0.1:9/images.tar.gz", "0" * 32), ("http://127.0.0.1:9/annotations.tar.gz", "0" * 32)]
    monkeypatch.setattr(torchvision.datasets.OxfordIIITPet, "_RESOURCES", resources)
    with pytest.raises(UserError, match=r"cannot be downloaded .*; without network, set data\.archives") as error:
        download_archives(tmp_path)
    assert "\n" not in str(error.value)


def test_downloads_are_kept_in_the_cache_directory_of_the_user(tmp_path, server, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    url = server.url.replace("images", "annotations")
    monkeypatch.setattr(torchvision.datasets.OxfordIIITPet, "_RESOURCES", [(server.url, MD5), (url, MD5)])
    images, annotations = download_archives(default_cache_dir())
    assert images == Archive(tmp_path / "tinycats/oxford_pets/images.tar.gz", MD5)
    assert annotations == Archive(tmp_path / "tinycats/oxford_pets/annotations.tar.gz", MD5)
