"""POD's network against the authors' losses, `transformers`' own forward pass, and itself without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from golden import TASKS, Golden, load_golden  # noqa: E402
from transformers import T5Config, T5ForConditionalGeneration  # noqa: E402

from bench.ragged import Ragged  # noqa: E402
from engine.randomness import seeded  # noqa: E402
from pod.batches import Examples, Shape, make_batch  # noqa: E402
from pod.network import PodNetwork  # noqa: E402
from pod.t5 import T5Backbone  # noqa: E402

CLOSE = 1e-5


def network_of(golden: Golden) -> PodNetwork:
    """The golden weights in our network."""
    tasks, vectors, width = golden.prompts.shape
    network = PodNetwork(T5Backbone(golden.network), vectors)
    network.prompt_embeddings.weight.data = golden.prompts.reshape(tasks * vectors, width)
    network.whole_word_embeddings.weight.data = golden.words
    return network.eval()


def examples_of(case: dict[str, Any]) -> Examples:
    """A golden case as rows without padding."""
    lengths = [sum(token != 0 for token in row) for row in case["input_ids"]]
    ids = [row[:length] for row, length in zip(case["input_ids"], lengths, strict=True)]
    words = [row[:length] for row, length in zip(case["whole_word_ids"], lengths, strict=True)]
    targets = [[token for token in row if token] for row in case["target_ids"]]
    tasks = np.full(len(ids), case["task_id"])
    return Examples(tasks, *map(Ragged.from_rows, (ids, words, targets)))


def some_network(dropout: float = 0.0, vectors: int = 3, **changes: Any) -> PodNetwork:
    """A small network with weights far from their start, so that every part of it matters."""
    values = {
        "vocab_size": 60,
        "d_model": 16,
        "d_kv": 4,
        "d_ff": 24,
        "num_layers": 2,
        "num_heads": 4,
        "dropout_rate": dropout,
        "decoder_start_token_id": 0,
        **changes,
    }
    with seeded(5, "cpu"):
        network = PodNetwork(T5Backbone(T5ForConditionalGeneration(T5Config(**values))), vectors)
        for parameter in network.parameters():
            parameter.data += 0.2 * torch.randn(parameter.shape)
    return network.eval()


def some_examples(n: int = 23, seed: int = 0, longest: int = 40) -> Examples:
    """Rows of every length, tasks mixed."""
    rng = np.random.default_rng(seed)
    ids = [[*rng.integers(2, 60, rng.integers(1, longest)), 1] for _ in range(n)]
    words = [rng.integers(0, 9, len(row)) for row in ids]
    targets = [[*rng.integers(2, 60, rng.integers(1, 19)), 1] for _ in range(n)]
    return Examples(rng.integers(0, 3, n), *map(Ragged.from_rows, (ids, words, targets)))


def gradients(network: PodNetwork) -> dict[str, Any]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_losses_are_those_of_the_authors_code(shared: Path, task: str, sharp: bool) -> None:
    golden = load_golden(shared, sharp)
    network, case = network_of(golden), golden.cases[task]
    examples = examples_of(case)
    with torch.no_grad():
        counted = make_batch(examples, Shape(network.vectors, packed=False, averaging="padded-token"), "cpu")
        assert abs(float(network(counted, masked=False)) - case["loss_padding_counted"]) < CLOSE
        losses = network.losses(counted, masked=False)[counted.targets != 0]
        assert abs(float(losses.mean()) - case["loss_padding_ignored_token_mean"]) < CLOSE


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("changes", [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}])
def test_hidden_states_are_those_of_transformers(masked: bool, changes: dict[str, Any]) -> None:
    network, examples = some_network(**changes), some_examples()
    batch = make_batch(examples, Shape(3, packed=False), "cpu")
    theirs = network.backbone.network
    with torch.no_grad():
        embedded = network.embed(batch).view(len(examples), -1, 16)
        mask = torch.arange(embedded.shape[1])[None] < torch.from_numpy(examples.ids.lengths + 3)[:, None]
        encoded = theirs.encoder(inputs_embeds=embedded, attention_mask=mask.long()).last_hidden_state
        ours = network.encode(batch).view_as(encoded)
        assert (ours - encoded)[mask].abs().max() < CLOSE
        labels = batch.targets.view(len(examples), -1)
        crossed = mask.long() if masked else None
        hidden = theirs.decoder(
            input_ids=theirs._shift_right(labels), encoder_hidden_states=encoded, encoder_attention_mask=crossed
        ).last_hidden_state
        logits = theirs(inputs_embeds=embedded, attention_mask=mask.long(), labels=labels).logits if masked else None
        shifted = network.backbone.embed(batch.shifted)
        found = network.backbone.decode(shifted, batch.outputs, ours.view(-1, 16), batch.inputs, masked=masked)
        assert (found.view_as(hidden) - hidden).abs().max() < CLOSE
        if logits is not None:
            assert (network.backbone.head(found).view_as(logits) - logits).abs().max() < 1e-4


@pytest.mark.parametrize("vectors", [0, 3])
def test_packed_batches_have_the_losses_and_gradients_of_padded_ones(vectors: int) -> None:
    network, examples = some_network(vectors=vectors).train(), some_examples(31)
    found = {}
    for packed in (False, True):
        network.zero_grad()
        batch = make_batch(examples, Shape(vectors, packed), "cpu")
        loss = network(batch, masked=True)
        loss.backward()
        found[packed] = loss.item(), gradients(network)
    assert abs(found[True][0] - found[False][0]) < CLOSE
    assert found[True][1].keys() == found[False][1].keys()
    for name, gradient in found[True][1].items():
        assert (gradient - found[False][1][name]).abs().max() < CLOSE, name
    assert make_batch(examples, Shape(vectors, True), "cpu").inputs.padding == 0.0


@pytest.mark.parametrize("shape", [Shape(3), Shape(3, packed=False), Shape(3, packed=False, averaging="padded-token")])
def test_a_steps_loss_is_that_of_its_tokens(shape: Shape) -> None:
    network = some_network().train()
    batch = make_batch(some_examples(29), shape, "cpu")
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    whole, tokens = network(batch, masked=True), torch.dot(network.losses(batch, masked=True), batch.weights)
    assert abs(whole.item() - tokens.item()) < CLOSE
    for ours, theirs in zip(*(torch.autograd.grad(loss, parameters) for loss in (whole, tokens)), strict=True):
        assert (ours - theirs).abs().max() < CLOSE


def test_packed_rows_cannot_be_decoded_without_masks() -> None:
    with pytest.raises(ValueError, match="only padded inputs"):
        some_network()(make_batch(some_examples(), Shape(3), "cpu"), masked=False)


@pytest.mark.parametrize(
    "shape", [Shape(3, packed=True), Shape(3, packed=False), Shape(3, packed=False, averaging="padded-token")]
)
@pytest.mark.parametrize("masked", [True, False])
def test_a_step_in_parts_has_the_gradients_of_one(shape: Shape, masked: bool) -> None:
    if shape.packed and not masked:
        pytest.skip("packing needs masks")
    network, examples = some_network().train(), some_examples(17)
    network(make_batch(examples, shape, "cpu"), masked=masked).backward()
    whole = gradients(network)
    network.zero_grad()
    for rows in np.array_split(np.arange(17), 4):
        network(make_batch(examples.take(rows), shape, "cpu", whole=examples), masked=masked).backward()
    for name, gradient in gradients(network).items():
        assert (gradient - whole[name]).abs().max() < CLOSE, name


def test_unmasked_rows_depend_on_who_shares_the_batch_and_masked_ones_do_not() -> None:
    network, examples = some_network(), some_examples(8)
    alone = examples.take(np.array([int(np.argmin(examples.ids.lengths))]))
    row = int(np.argmin(examples.ids.lengths))
    shape = Shape(3, packed=False)
    with torch.no_grad():
        for masked, same in ((True, True), (False, False)):
            batch, single = make_batch(examples, shape, "cpu"), make_batch(alone, shape, "cpu")
            losses = network.losses(batch, masked=masked).view(len(examples), -1)[row]
            length = int(alone.targets.lengths[0])
            others = network.losses(single, masked=masked)[:length]
            assert bool((losses[:length] - others).abs().max() < CLOSE) == same


def test_prompt_vectors_stand_in_front_of_text_without_whole_word_embeddings() -> None:
    network, examples = some_network(), some_examples(5)
    batch = make_batch(examples, Shape(3, packed=False), "cpu")
    embedded = network.embed(batch).view(5, -1, 16)
    for row in range(5):
        task = int(examples.tasks[row])
        assert torch.equal(embedded[row, :3], network.prompt_embeddings.weight[3 * task : 3 * task + 3])
        ids = torch.from_numpy(examples.ids[row].astype(np.int64))
        words = torch.from_numpy(examples.words[row].astype(np.int64))
        text = network.backbone.network.shared(ids) + network.whole_word_embeddings(words)
        assert torch.equal(embedded[row, 3 : 3 + len(ids)], text)
    network.words_on_prompts = True
    moved = network.embed(batch).view(5, -1, 16) - embedded
    assert torch.allclose(moved[:, :3], network.whole_word_embeddings.weight[0].expand(5, 3, 16), atol=1e-6)
    assert not moved[:, 3:].any()


def test_weights_average_over_samples_or_over_padded_tokens() -> None:
    examples = some_examples(6)
    lengths = examples.targets.lengths
    sample = make_batch(examples, Shape(0, packed=False), "cpu")
    by_row = sample.weights.view(6, -1)
    assert torch.allclose(by_row.sum(1), torch.full((6,), 1 / 6))
    assert [int((row > 0).sum()) for row in by_row] == lengths.tolist()
    counted = make_batch(examples, Shape(0, packed=False, averaging="padded-token"), "cpu")
    assert torch.allclose(counted.weights, torch.full_like(counted.weights, 1 / (6 * lengths.max())))
    with pytest.raises(ValueError, match="padding"):
        Shape(0, packed=True, averaging="padded-token")
