"""Backbones: shapes, seeds, ties, new rows, and what is said of a folder or name that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from transformers import AutoModelForSeq2SeqLM, T5Config, T5ForConditionalGeneration

from bench.errors import UserError
from engine.randomness import seeded
from pod.backbone import build_backbone, shape_of

FLAN = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


def saved(folder: Path, **changes) -> dict[str, torch.Tensor]:
    """Files of a little T5; with "tie_word_embeddings" false, head and embeddings are two matrices, as in flan-t5."""
    values = {"vocab_size": 50, "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, **changes}
    with seeded(3, "cpu"):
        network = T5ForConditionalGeneration(T5Config(decoder_start_token_id=0, **values))
        tensors = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        if not values.get("tie_word_embeddings", True):
            tensors["lm_head.weight"] = torch.randn(tensors["lm_head.weight"].shape) + 1.0
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps({"model_type": "t5", "decoder_start_token_id": 0, **values}))
    return tensors


def test_the_shapes_of_t5():
    small = T5Config()
    assert shape_of("scratch:small") == (small.d_model, small.num_layers, small.num_heads, small.d_kv)
    config = build_backbone("scratch:small", 40, seed=0).network.config
    assert (config.d_ff, config.dropout_rate, config.tie_word_embeddings) == (small.d_ff, small.dropout_rate, True)
    assert shape_of("scratch:base") == (768, 12, 12, 64)
    assert shape_of("scratch:64x2") == shape_of("scratch:mini")


@settings(max_examples=50)
@given(st.integers(1, 64), st.integers(1, 24))
def test_any_shape_has_heads_that_fill_its_width(sixteens: int, layers: int):
    name = f"scratch:{16 * sixteens}x{layers}"
    try:
        width, found, heads, head = shape_of(name)
    except UserError as error:
        assert "multiple of" in str(error)
        return
    assert (width, found, heads * head) == (16 * sixteens, layers, width)


@pytest.mark.parametrize(
    "name", ["scratch:", "scratch:huge", "scratch:65x2", "scratch:0x1", "scratch:64x0", "scratch:8x1"]
)
def test_shapes_that_are_none(name: str):
    with pytest.raises(UserError, match=rf"backbone {name}"):
        build_backbone(name, 10)


def test_from_scratch_has_exactly_the_rows_needed_and_one_matrix():
    built = build_backbone("scratch:mini", 1183, dropout=0.25, seed=1)
    network = built.network
    assert built.scratch
    assert built.limit is None
    assert network.shared.weight.shape == network.lm_head.weight.shape == (1183, 64)
    assert network.lm_head.weight is network.shared.weight
    assert network.config.dropout_rate == network.encoder.dropout.p == 0.25
    assert not network.training
    assert "2+2 layers, width 64, 4 heads of 16, 1,183 pieces" in built.note
    # T5's own initialisation, queries N(0, (d d_kv)^-1/2), but for small embeddings and outputs as they are.
    assert float(network.shared.weight.detach().std()) == pytest.approx(0.02, abs=5e-4)
    assert network.config.scale_decoder_outputs is False
    queries = network.encoder.block[0].layer[0].SelfAttention.q.weight.detach()
    assert float(queries.std()) == pytest.approx((64 * 16) ** -0.5, rel=0.05)


def test_the_seed_decides_and_the_default_generators_stay():
    before = torch.get_rng_state()
    one, same, other = (build_backbone("scratch:32x1", 20, seed=seed).network.state_dict() for seed in (7, 7, 8))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["shared.weight"], other["shared.weight"])
    with seeded(7, "cpu"):
        lent = build_backbone("scratch:32x1", 20).network.state_dict()
    assert all(torch.equal(one[name], lent[name]) for name in one)


@pytest.mark.parametrize("changes", [{}, FLAN])
def test_a_folder_is_loaded_as_the_library_loads_it(tmp_path: Path, changes):
    tensors = saved(tmp_path, **changes)
    built = build_backbone(str(tmp_path), 50)
    other = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    ids = torch.tensor([[5, 6, 7, 1]])
    with torch.no_grad():
        found, wanted = (each(input_ids=ids, labels=ids).logits for each in (built.network, other))
    assert torch.equal(found, wanted)
    assert torch.equal(built.network.lm_head.weight, tensors["lm_head.weight"])
    assert built.network.config.scale_decoder_outputs == (not changes)
    assert not built.scratch
    assert built.note == f"{tmp_path.name}, pretrained"
    assert built.network.shared.weight.dtype == torch.float32


@pytest.mark.parametrize("changes", [{}, FLAN])
def test_added_rows_are_drawn_like_the_old_ones(tmp_path: Path, changes):
    old = saved(tmp_path, vocab_size=2000, **changes)
    built, again = (build_backbone(str(tmp_path), 5000, seed=seed) for seed in (1, 1))
    network = built.network
    assert network.config.vocab_size == network.lm_head.out_features == 5000
    assert "3,000 rows added to its 2,000" in built.note
    assert (network.lm_head.weight is network.shared.weight) == (not changes)
    assert network.encoder.embed_tokens.weight is network.decoder.embed_tokens.weight is network.shared.weight
    for name in ("shared.weight", "lm_head.weight"):
        weight = network.state_dict()[name]
        assert torch.equal(weight[:2000], old[name])
        deviation, mean = torch.std_mean(weight[:2000], dim=0)
        assert torch.allclose(weight[2000:].mean(0), mean, atol=0.1 * float(deviation.max()))
        assert torch.allclose(weight[2000:].std(0), deviation, rtol=0.1)
        assert torch.equal(weight, again.network.state_dict()[name])
    ids = torch.tensor([[4999, 2000, 1]])
    narrow = build_backbone(str(tmp_path), 50).network
    with torch.no_grad():
        assert network(input_ids=ids, labels=ids).logits.shape == (1, 3, 5000)
        known = torch.tensor([[7, 1999, 1]])
        wide = network(input_ids=known, labels=known).logits[..., :2000]
        assert torch.allclose(wide, narrow(input_ids=known, labels=known).logits, atol=1e-5)


def test_a_pretrained_model_keeps_rows_that_are_not_needed(tmp_path: Path):
    saved(tmp_path)
    assert build_backbone(str(tmp_path), 10).network.shared.num_embeddings == 50


def test_dropout_in_place_of_a_models_own(tmp_path: Path):
    saved(tmp_path, dropout_rate=0.3)
    assert build_backbone(str(tmp_path), 50).network.encoder.dropout.p == 0.3
    assert build_backbone(str(tmp_path), 50, dropout=0.0).network.encoder.dropout.p == 0.0


def test_the_golden_model_loads_without_a_word(shared: Path, capfd: pytest.CaptureFixture[str]):
    built = build_backbone(str(shared / "golden"), 32128)
    assert built.network.shared.weight.shape == (32128, 32)
    assert capfd.readouterr() == ("", "")


def test_a_name_that_is_nothing_says_where_was_looked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pod.hub._download", lambda repository, name, local: "not there")
    with pytest.raises(UserError) as caught:
        build_backbone("t5-smal", 10)
    for part in ("backbone t5-smal", "folder t5-smal", "local hub cache, t5-smal", "hub, t5-smal", "scratch:NAME"):
        assert part in str(caught.value)
    with pytest.raises(UserError, match="not asked: offline"):
        build_backbone("t5-small", 10, offline=True)


def test_the_hub_gives_config_and_weights_of_one_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stale, fresh = tmp_path / "aaaaaaaaaa", tmp_path / "bbbbbbbbbb"
    saved(fresh)
    stale.mkdir()
    (stale / "config.json").write_text("{}")

    def download(repository: str, name: str, local: bool) -> Path | str:
        path = (stale if local else fresh) / name
        return path if path.exists() else "not there"

    monkeypatch.setattr("pod.hub._download", download)
    built = build_backbone("google/flan-t5-small", 50)
    assert built.note == "google/flan-t5-small (bbbbbbbb), pretrained"
    with pytest.raises(UserError, match="no such model"):
        build_backbone("google/flan-t5-small", 50, offline=True)


def test_folders_that_hold_no_t5(tmp_path: Path):
    with pytest.raises(UserError, match=r"holds no config.json.*holds no model.safetensors"):
        build_backbone(str(tmp_path), 10)
    saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    weights = (tmp_path / "model.safetensors").read_bytes()
    for content, what in (
        (json.dumps({**config, "model_type": "bert"}), "a model of type 'bert'"),
        ("{", "not a readable model configuration"),
        ("[]", "not a model configuration"),
        (json.dumps({**config, "d_model": 24}), "cannot be loaded"),
        (json.dumps({**config, "num_layers": 2}), "weights are missing"),
    ):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UserError, match=what):
            build_backbone(str(tmp_path), 10)
    (tmp_path / "config.json").write_text(json.dumps(config))
    partial = {name: tensor for name, tensor in saved(tmp_path).items() if name != "shared.weight"}
    save_file(partial, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"weights are missing .shared.weight"):
        build_backbone(str(tmp_path), 10)
    (tmp_path / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(UserError, match="cannot be loaded"):
        build_backbone(str(tmp_path), 10)
