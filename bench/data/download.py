"""Downloads of review files into a cache folder: complete and checked, or absent."""

from __future__ import annotations

import gzip
import logging
import os
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.errors import UserError

BASE_URL = "http://snap.stanford.edu/data/amazon/productGraph/categoryFiles/"
CACHE_VARIABLE = "PODIUM_CACHE"

# sha256 of each file. None: not known to us, since no copy could be fetched where this was written. Such a file
# is still read to its end before it counts as downloaded, and its checksum is logged.
REVIEW_FILES: dict[str, str | None] = {
    "reviews_Beauty_5.json.gz": None,
    "reviews_Sports_and_Outdoors_5.json.gz": None,
    "reviews_Toys_and_Games_5.json.gz": None,
    "reviews_Musical_Instruments_5.json.gz": "03f9cc27ae13a454cb4ea6cb620fb10546cc1194ef921441d1c5f34addff2748",
}

_TIMEOUT = 30.0
_PIECE = 1 << 20
_log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Where downloads are kept: PODIUM_CACHE, or the system's cache folder for us."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import pooch

    return Path(pooch.os_cache("podium"))


def cached_file(name: str, file: str) -> Path | None:
    """The file of dataset `name` in the cache, if it is there."""
    path = cache_dir() / name / file
    return path if path.is_file() else None


def fetch(name: str, file: str, offline: bool = False, base_url: str = BASE_URL) -> Path:
    """The review file of dataset `name`: from the cache, else downloaded there.

    offline: never touch the network.
    Raises UserError, with what to put where, if the file is neither there nor to be had, or arrives damaged.
    """
    found = cached_file(name, file)
    if found is not None:
        return found
    fix = f"fetch {base_url}{file} elsewhere and put it into DIR/{name}/{file}, then give --data-dir DIR"
    if offline:
        raise UserError("is not here, and the network is not to be used", f"{name}: {file}", fix)
    folder = cache_dir() / name
    try:
        _download(base_url + file, folder, file)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        # requests' errors are OSErrors; pooch raises ValueError on a wrong checksum.
        raise UserError(f"cannot be downloaded ({_reason(error)})", f"{name}: {file}", fix) from error
    return folder / file


def _reason(error: Exception) -> str:
    """Why a download failed, in a few words: requests' own tell of its pools and retries."""
    import requests

    host = urlsplit(getattr(getattr(error, "request", None), "url", "") or "").hostname or "the server"
    if isinstance(error, requests.Timeout):
        return f"{host} did not answer within {_TIMEOUT:g} s"
    if isinstance(error, requests.ConnectionError):
        return f"{host} cannot be reached"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _download(url: str, folder: Path, file: str) -> None:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # it writes to the terminal by itself; we log instead
    _log.info("downloading %s to %s", url, folder / file)
    downloader: Any = _fetch_whole  # pooch's annotation of this parameter is that of another protocol
    pooch.retrieve(url, known_hash=REVIEW_FILES.get(file), fname=file, path=folder, downloader=downloader)
    _log.info("sha256 of %s: %s", file, pooch.file_hash(str(folder / file)))


def _fetch_whole(url: str, output_file: Any, pooch_: Any) -> None:
    """Download to pooch's temporary file and unpack it once to its end; pooch renames it only if this returns."""
    import pooch

    pooch.HTTPDownloader(timeout=_TIMEOUT)(url, output_file, pooch_)
    with gzip.open(output_file, "rb") as stream:
        while stream.read(_PIECE):
            pass
