"""Fixtures for every room: the real data beside the repository, where it is, and a shop of five users."""

from __future__ import annotations

from pathlib import Path

import pytest

SHOP = [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5], [6, 1, 7, 2, 8], [1, 5]]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped only where it is absent."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not folder.is_dir():
        pytest.skip("../shared is not here")
    return folder


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder of data that is read in no time; item n is known as n."""
    folder = tmp_path / "data" / "shop"
    folder.mkdir(parents=True)
    lines = (" ".join(map(str, [user, *items])) for user, items in enumerate(SHOP, start=1))
    (folder / "sequential.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder
