"""Where pretrained files are looked for: folders first, then the hub's local cache, then the hub."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from bench.errors import UserError

_UNREACHABLE = "it cannot be reached"


@dataclass
class Search:
    """A search for files, with a memory of where they were not.

    looked: every place, as an error message names it.
    """

    looked: list[str] = field(default_factory=list)

    def folder(self, folder: Path, names: Sequence[str]) -> Path | None:
        """The first of these files that the folder holds."""
        for name in names:
            if (folder / name).is_file():
                return folder / name
        self.looked.append(
            f"{folder} ({'no such folder' if not folder.is_dir() else 'holds no ' + ' or '.join(names)})"
        )
        return None

    def hub(self, repository: str, names: Sequence[str], offline: bool) -> Path | None:
        """The first of these files of a repository, from the local cache or, unless offline, from the hub."""
        return self._ask(repository, [(name,) for name in names], offline)

    def snapshot(self, repository: str, names: tuple[str, ...], offline: bool) -> Path | None:
        """A folder with all of these files of one revision, from the local cache or, unless offline, from the hub."""
        found = self._ask(repository, [names], offline)
        return found.parent if found else None

    def _ask(self, repository: str, groups: Sequence[tuple[str, ...]], offline: bool) -> Path | None:
        """The last file of the first group that is there as a whole."""
        for local in (True, False):
            if not local and offline:
                self.looked.append("hub (not asked: offline)")
                return None
            reason = ""
            for group in groups:
                found = _download_all(repository, group, local)
                if isinstance(found, Path):
                    return found
                reason = found
                if not local and _UNREACHABLE in found:
                    break  # every further attempt would wait as long
            where, why = ("local hub cache", "not there") if local else ("hub", reason)
            self.looked.append(f"{where}, {repository} ({why})")
        return None

    def error(self, what: str, where: str, fix: str) -> UserError:
        """The error that names every place looked at."""
        return UserError(f"{what}; looked at: {', '.join(self.looked) or 'nothing'}", where, fix)


def _download_all(repository: str, names: Sequence[str], local: bool) -> Path | str:
    """The last of these files or why one of them is not to be had."""
    found: Path | str = ""
    for name in names:
        found = _download(repository, name, local)
        if isinstance(found, str):
            return f"{name}: {found}"
    return found


def _download(repository: str, name: str, local: bool) -> Path | str:
    """A file of the hub or, in a few words, why there is none."""
    try:
        from huggingface_hub import constants, hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
    except ImportError as error:
        return f"package {error.name} is missing"
    if not local and not _has_address(constants.ENDPOINT):
        return _UNREACHABLE
    try:
        return Path(hf_hub_download(repository, name, local_files_only=local))
    except LocalEntryNotFoundError:
        return _UNREACHABLE
    # Refusals and lost connections are OSErrors, ill-formed names ValueErrors.
    except (OSError, ValueError, EntryNotFoundError) as error:
        first = str(error).strip().splitlines()
        return f"{type(error).__name__}: {first[0][:120] if first else 'no reason given'}"


@cache
def _has_address(url: str) -> bool:
    """Whether the host's name can be resolved, or a proxy does that: without a network the library tries for half a
    minute, with warnings.
    """
    parts = urlsplit(url)
    if parts.scheme in getproxies() or "all" in getproxies():
        return True
    try:
        return bool(socket.getaddrinfo(parts.hostname, parts.port or parts.scheme))
    except OSError:
        return False
