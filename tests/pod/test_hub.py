"""Looking for pretrained files: the hub's cache as its library lays it out, what is asked, and what is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from toy import toy_pieces

from bench.errors import UserError
from pod.hub import Search, _has_address
from pod.spiece import model_bytes
from pod.tokens import load_tokenizer

hub = pytest.importorskip("huggingface_hub")
REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache in place of this machine's."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def put(cache: Path, repository: str, name: str, content: bytes) -> Path:
    """A file where the hub's library looks for it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text(REVISION)
    path = folder / "snapshots" / REVISION / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_a_cached_tokenizer_needs_no_connection(cache: Path):
    put(cache, "t5-small", "spiece.model", model_bytes(toy_pieces(), b""))
    found = load_tokenizer(offline=True)
    assert found.pieces("item_12") == ["▁item", "_", "12"]
    assert found.where.endswith("spiece.model")


def test_a_cached_backbone_needs_no_connection(cache: Path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from safetensors.torch import save

    from pod.backbone import build_backbone

    values = {"vocab_size": 20, "d_model": 8, "d_kv": 4, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    network = transformers.T5ForConditionalGeneration(transformers.T5Config(**values))
    tensors = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    put(cache, "google/flan-t5-small", "config.json", json.dumps({"model_type": "t5", **values}).encode())
    with pytest.raises(UserError, match=r"local hub cache, google/flan-t5-small .not there.*not asked: offline"):
        build_backbone("google/flan-t5-small", 20, offline=True)
    put(cache, "google/flan-t5-small", "model.safetensors", save(tensors, metadata={"format": "pt"}))
    built = build_backbone("google/flan-t5-small", 20, offline=True)
    assert torch.equal(built.network.shared.weight, network.shared.weight)
    assert built.note == f"google/flan-t5-small ({REVISION[:8]}), pretrained"


def test_a_folder_of_all_files_or_none(cache: Path):
    path = put(cache, "a/b", "one", b"1")
    search = Search()
    assert search.snapshot("a/b", ("one", "two"), offline=True) is None
    put(cache, "a/b", "two", b"2")
    assert search.snapshot("a/b", ("one", "two"), offline=True) == path.parent
    found = search.hub("a/b", ("three", "two", "one"), offline=True)
    assert found is not None
    assert found.name == "two"
    assert search.looked == ["local hub cache, a/b (not there)", "hub (not asked: offline)"]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of hosts have addresses, whether they do here or not."""
    monkeypatch.setattr("pod.hub._has_address", lambda url: True)


def test_without_a_network_the_hub_is_not_asked(monkeypatch: pytest.MonkeyPatch):
    def download(repository: str, name: str, local_files_only: bool) -> str:
        assert local_files_only, "nothing is to be fetched"
        raise hub.errors.LocalEntryNotFoundError("not cached")

    def resolve(*words: object) -> None:
        raise OSError("no address")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.setattr("socket.getaddrinfo", resolve)
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    _has_address.cache_clear()
    assert not _has_address("https://nowhere.example")
    monkeypatch.setattr("pod.hub._has_address", lambda url: False)
    search = Search()
    assert search.hub("t5-small", ("a", "b"), offline=False) is None
    assert search.looked[-1] == "hub, t5-small (a: it cannot be reached)"
    monkeypatch.undo()
    monkeypatch.setenv("https_proxy", "http://localhost:9")
    assert _has_address("https://nowhere.example.")


def test_one_lost_connection_is_enough(network: None, monkeypatch: pytest.MonkeyPatch):
    asked = []

    def download(repository: str, name: str, local_files_only: bool) -> str:
        asked.append((name, local_files_only))
        raise hub.errors.LocalEntryNotFoundError("lost")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    search = Search()
    assert search.hub("t5-small", ("a", "b"), offline=False) is None
    assert [name for name, local in asked if not local] == ["a"]
    assert "hub, t5-small (a: it cannot be reached)" in str(search.error("what", "where", "fix"))


def test_a_refusal_is_told_in_a_line_and_the_next_file_is_asked_for(network: None, monkeypatch: pytest.MonkeyPatch):
    def download(repository: str, name: str, local_files_only: bool) -> str:
        if local_files_only:
            raise hub.errors.LocalEntryNotFoundError("not cached")
        if name == "a":
            raise OSError("403 Forbidden\nand a long explanation")
        raise ValueError("x" * 500)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    search = Search()
    assert search.hub("t5-small", ("a", "b"), offline=False) is None
    assert search.hub("t5-small", ("a",), offline=False) is None
    message = str(search.error("what", "where", "fix"))
    assert "(a: OSError: 403 Forbidden)" in message
    assert "b: ValueError: xxx" in message
    assert len(message) < 500


def test_names_that_the_hub_cannot_have(cache: Path):
    search = Search()
    assert search.hub("no/such/name", ("a",), offline=True) is None
    with pytest.raises(UserError, match="no tokenizer there"):
        load_tokenizer("no/such/name", offline=True)


def test_without_the_hub_s_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    search = Search()
    assert search.hub("t5-small", ("a",), offline=False) is None
    assert "huggingface_hub is missing" in str(search.error("what", "where", "fix"))


def test_folders(tmp_path: Path):
    search = Search()
    assert search.folder(tmp_path / "none", ("a",)) is None
    assert search.folder(tmp_path, ("a", "b")) is None
    assert search.looked == [f"{tmp_path / 'none'} (no such folder)", f"{tmp_path} (holds no a or b)"]
    (tmp_path / "b").touch()
    assert search.folder(tmp_path, ("a", "b")) == tmp_path / "b"
