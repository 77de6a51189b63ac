"""Checkpoints: what goes in comes out, whole or not at all, and damage is one clear line."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from bench.errors import UserError

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("safetensors", reason="safetensors is not installed")

from engine import checkpoint  # noqa: E402
from engine.checkpoint import (  # noqa: E402
    State,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    save_state,
)


def example() -> State:
    shared = torch.arange(6.0).reshape(2, 3)
    state = State(facts={"epoch": 3, "best": float("-inf"), "rng": {"state": 2**120 + 1}, "curve": [{"loss": 0.1}]})
    state.add("network", {"a": shared, "tied": shared, "turned": shared.T, "count": torch.tensor(7)})
    state.add("network2", {"a": torch.zeros(0)})
    return state


def test_a_state_survives_the_disk_bit_by_bit(tmp_path):
    path = tmp_path / "deep" / "fit.safetensors"
    save_state(example(), path)
    found = load_state(path)
    assert found is not None and found.facts == example().facts
    assert found.tensors.keys() == example().tensors.keys()
    for name, tensor in example().tensors.items():
        assert torch.equal(found.tensors[name], tensor) and found.tensors[name].dtype == tensor.dtype
    assert found.part("network").keys() == {"a", "tied", "turned", "count"}
    assert found.part("network2").keys() == {"a"} and found.part("net") == {}
    assert [p.name for p in path.parent.iterdir()] == ["fit.safetensors"]


def test_no_file_is_no_state(tmp_path):
    assert load_state(tmp_path / "fit.safetensors") is None


def test_a_failed_write_leaves_the_old_state_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "fit.safetensors"
    save_state(example(), path)
    before = path.read_bytes()

    def fails(tensors, aside, metadata):
        Path(aside).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", fails)
    with pytest.raises(Exception, match="No space left"):
        save_state(State(facts={"epoch": 4}), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def without_header(whole: bytes) -> bytes:
    """The same tensors without our line of facts."""
    length = struct.unpack("<Q", whole[:8])[0]
    header = json.loads(whole[8 : 8 + length])
    header.pop("__metadata__")
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + whole[8 + length :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:5],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"\x80\x04K\x01." + whole,
        lambda whole: whole.replace(b"epoch", b'ep"ch'),
        without_header,
    ],
    ids=["empty", "stub", "half", "short", "pickle", "facts", "foreign"],
)
def test_damage_is_one_line_that_names_the_file(tmp_path, damage):
    path = tmp_path / "fit.safetensors"
    save_state(example(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="not a readable checkpoint") as caught:
        load_state(path)
    assert str(path) in str(caught.value) and "--force" in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_in_its_place_is_one_line_too(tmp_path):
    (tmp_path / "fit.safetensors").mkdir()
    with pytest.raises(UserError, match="not a readable checkpoint"):
        load_state(tmp_path / "fit.safetensors")


def test_an_optimizer_goes_on_where_it_was():
    def make() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 2)
        return network, torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.01)

    def steps(network: torch.nn.Module, optimizer: torch.optim.Optimizer, values: list[float]) -> None:
        for value in values:
            optimizer.zero_grad()
            (network(torch.full((1, 3), value)) ** 2).sum().backward()
            optimizer.step()

    with torch.random.fork_rng():
        whole, half = make(), make()
        steps(*whole, [1.0, 2.0, 3.0, 4.0])
        steps(*half, [1.0, 2.0])
        kept = {name: tensor.clone() for name, tensor in optimizer_tensors(half[1]).items()}
        resumed = make()
        resumed[0].load_state_dict(half[0].state_dict())
        restore_optimizer(resumed[1], kept)
        steps(*resumed, [3.0, 4.0])
    for left, right in zip(whole[0].parameters(), resumed[0].parameters(), strict=True):
        assert torch.equal(left, right)
