"""Downloads, from a server on this machine: complete and checked, or nothing at all."""

from __future__ import annotations

import gzip
import hashlib
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import bench.data.download as download
from bench.data.amazon import iter_reviews
from bench.errors import UserError

FILE = "reviews_Toys_and_Games_5.json.gz"
CONTENT = gzip.compress(b'{"reviewerID": "u", "asin": "i", "overall": 5, "unixReviewTime": 1}\n' * 50)


class Handler(BaseHTTPRequestHandler):
    """Answers as its server's `answer` says: (status, announced length, body)."""

    def do_GET(self):
        self.server.asked.append(self.path)
        status, length, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "cache"))
    for proxy in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(proxy, raising=False)
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.answer, running.asked = (200, len(CONTENT), CONTENT), []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def url(server) -> str:
    return f"http://127.0.0.1:{server.server_port}/files/"


def kept(tmp_path) -> list[str]:
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_download_is_kept_and_its_checksum_logged(server, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="bench.data.download"):
        path = download.fetch("toys", FILE, base_url=url(server))
    assert path == tmp_path / "cache" / "toys" / FILE and path.read_bytes() == CONTENT
    assert hashlib.sha256(CONTENT).hexdigest() in caplog.text
    assert len(list(iter_reviews(path))) == 50
    assert download.fetch("toys", FILE, base_url=url(server)) == path
    assert download.fetch("toys", FILE, offline=True) == path
    assert server.asked == [f"/files/{FILE}"]


@pytest.mark.parametrize(
    "answer",
    [
        (200, len(CONTENT), CONTENT[: len(CONTENT) // 2]),  # the connection breaks
        (200, len(CONTENT) // 2, CONTENT[: len(CONTENT) // 2]),  # the server itself has half a file
        (200, 9, b"<html></>"),
        (404, 4, b"gone"),
        (500, 0, b""),
    ],
)
def test_a_failed_download_leaves_nothing(server, tmp_path, answer):
    server.answer = answer
    with pytest.raises(UserError) as caught:
        download.fetch("toys", FILE, base_url=url(server))
    message = str(caught.value)
    assert FILE in message and f"DIR/toys/{FILE}" in message and "--data-dir DIR" in message and "\n" not in message
    assert kept(tmp_path) == []
    server.answer = (200, len(CONTENT), CONTENT)
    assert download.fetch("toys", FILE, base_url=url(server)).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setitem(download.REVIEW_FILES, FILE, "0" * 64)
    with pytest.raises(UserError, match="cannot be downloaded"):
        download.fetch("toys", FILE, base_url=url(server))
    assert kept(tmp_path) == []


def test_offline_never_asks(server, tmp_path):
    with pytest.raises(UserError, match="--data-dir DIR") as caught:
        download.fetch("toys", FILE, offline=True, base_url=url(server))
    assert FILE in str(caught.value) and server.asked == [] and kept(tmp_path) == []


def test_unreachable(tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))

    def fail(*args):
        raise ConnectionError("no route to host\nsecond line")

    monkeypatch.setattr(download, "_fetch_whole", fail)
    with pytest.raises(UserError, match=r"cannot be downloaded \(no route to host\); fetch http") as caught:
        download.fetch("beauty", "reviews_Beauty_5.json.gz")
    assert "DIR/beauty/reviews_Beauty_5.json.gz" in str(caught.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_server_that_is_not_there_is_named_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))
    with pytest.raises(UserError) as caught:
        download.fetch("toys", FILE, base_url="http://127.0.0.1:9/")  # the port of a service that throws all away
    assert "cannot be downloaded (127.0.0.1 cannot be reached); fetch " in str(caught.value)


def test_a_server_that_does_not_answer(tmp_path, monkeypatch):
    import socket

    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))
    monkeypatch.setattr(download, "_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(UserError) as caught:
        download.fetch("toys", FILE, base_url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
    assert "127.0.0.1 did not answer within 0.2 s" in str(caught.value)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be downloaded"):
        download.fetch("beauty", "reviews_Beauty_5.json.gz", base_url="http://127.0.0.1:9/")


def test_the_system_cache_is_the_default(monkeypatch):
    monkeypatch.delenv("PODIUM_CACHE", raising=False)
    assert download.cache_dir().name == "podium"


def test_the_known_checksum_is_that_of_the_shared_file(shared):
    name = "reviews_Musical_Instruments_5.json.gz"
    content = (shared / "data" / "musical" / name).read_bytes()
    assert download.REVIEW_FILES[name] == hashlib.sha256(content).hexdigest()
