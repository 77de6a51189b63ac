"""The incremental decoder gives what the network's own decoder gives for whole sequences."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from networks import network, sources  # noqa: E402

from pod.decoder import BLOCK, Decoder  # noqa: E402


def forced(model, encoded, mask, ids):
    """(n, b, t, V) log-probabilities behind each token of (n, b, t) ids, by the network's forward on repeated rows."""
    width = ids.shape[1]
    with torch.no_grad():
        logits = model(
            encoder_outputs=(encoded.repeat_interleave(width, 0),),
            attention_mask=None if mask is None else mask.repeat_interleave(width, 0).long(),
            decoder_input_ids=ids.flatten(0, 1),
        ).logits
    return torch.log_softmax(logits, -1).view(*ids.shape, -1)


def log_probs(decoder, hidden, rows=None):
    """(n, b, R or V) log-probabilities of all users."""
    places, pieces = zip(*decoder.log_probs(hidden, rows), strict=True)
    assert [place for piece in places for place in range(*piece.indices(len(hidden)))] == list(range(len(hidden)))
    return torch.cat(pieces)[..., : decoder.vocabulary]


def stepwise(decoder, memory, ids):
    """The same, token by token."""
    state, seen = decoder.start(memory), []
    for place in range(ids.shape[2]):
        seen.append(log_probs(decoder, decoder.step(ids[..., place], state)))
    return torch.stack(seen, 2)


@pytest.mark.parametrize("flan", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_steps_equal_the_networks_forward(flan, masked):
    model = network(1, flan=flan)
    encoded, mask = sources(2, users=3, length=9)
    ids = torch.randint(0, 150, (3, 4, 70), generator=torch.Generator().manual_seed(3))
    decoder = Decoder(model)
    found = stepwise(decoder, decoder.remember(encoded, mask if masked else None), ids)
    torch.testing.assert_close(found, forced(model, encoded, mask if masked else None, ids), atol=3e-5, rtol=1e-4)


def test_a_user_is_alone_in_the_batch():
    decoder = Decoder(network(4))
    encoded, mask = sources(5, users=4, length=12)
    ids = torch.randint(0, 150, (4, 2, 5), generator=torch.Generator().manual_seed(6))
    together = stepwise(decoder, decoder.remember(encoded, mask), ids)
    for user in range(4):
        length = int(mask[user].sum())
        alone = stepwise(decoder, decoder.remember(encoded[user : user + 1, :length]), ids[user : user + 1])
        torch.testing.assert_close(together[user : user + 1], alone, atol=2e-5, rtol=1e-4)


def test_hypotheses_follow_their_parents_and_users_leave():
    model = network(7)
    encoded, mask = sources(8, users=3, length=7)
    decoder = Decoder(model)
    state = decoder.start(decoder.remember(encoded, mask))
    generator = torch.Generator().manual_seed(9)
    ids = torch.zeros(3, 1, 1, dtype=torch.int64)
    decoder.step(ids[..., -1], state)
    users = torch.arange(3)
    for width in (3, 5, 2, 4):
        if width == 2:
            state.keep(torch.tensor([2, 0]))
            state.keep(torch.tensor([1, 0]))  # of those two: users 0 and 2
            users, ids = users[[0, 2]], ids[[0, 2]]
        parents = torch.randint(0, ids.shape[1], (len(ids), width), generator=generator)
        tokens = torch.randint(0, 150, (len(ids), width), generator=generator)
        ids = torch.cat([ids.gather(1, parents[..., None].expand(-1, -1, ids.shape[2])), tokens[..., None]], 2)
        hidden = decoder.step(tokens, state, parents)
        expected = forced(model, encoded[users], mask[users], ids)[:, :, -1]
        torch.testing.assert_close(log_probs(decoder, hidden), expected, atol=3e-5, rtol=1e-4)


def test_the_head_can_be_restricted_and_pads_to_blocks():
    model = network(10, flan=True)
    decoder = Decoder(model)
    hidden = torch.randn(2, 3, 24, generator=torch.Generator().manual_seed(11))
    logits = hidden @ model.lm_head.weight.detach().t()
    ((_, whole),) = decoder.log_probs(hidden)
    assert whole.shape[2] % BLOCK == 0 and bool((whole[..., 150:] == -torch.inf).all())
    torch.testing.assert_close(whole[..., :150], torch.log_softmax(logits, -1))
    for rows in (torch.tensor([1, 5, 9]), torch.arange(140)):
        torch.testing.assert_close(log_probs(decoder, hidden, rows), torch.log_softmax(logits[..., rows], -1))


@pytest.mark.parametrize(("product", "piece"), [(1, 1), (20_000, 1), (30_000, 6_000), (10**9, 10**9)])
def test_log_probs_come_in_pieces_of_users(monkeypatch, product, piece):
    monkeypatch.setattr("pod.decoder._PRODUCT_BYTES", product)
    monkeypatch.setattr("pod.decoder._PIECE_BYTES", piece)
    model = network(13)
    hidden = torch.randn(17, 2, 24, generator=torch.Generator().manual_seed(11))
    expected = torch.log_softmax(hidden @ model.lm_head.weight.detach().t(), -1)
    torch.testing.assert_close(log_probs(Decoder(model), hidden), expected)
    assert list(Decoder(model).log_probs(hidden[:0])) == []


def test_logits_stay_as_they_are_in_half_precision():
    model = network(13).bfloat16()
    hidden = torch.randn(2, 2, 24, generator=torch.Generator().manual_seed(11)).bfloat16()
    found = log_probs(Decoder(model), hidden)
    assert found.dtype == torch.float32
    expected = torch.log_softmax((hidden @ model.lm_head.weight.detach().t()).float(), -1)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


def test_memory_is_taken_by_user():
    decoder = Decoder(network(12))
    encoded, mask = sources(13, users=5, length=6)
    rows = torch.tensor([4, 1])
    taken, own = decoder.remember(encoded, mask).take(rows), decoder.remember(encoded[rows], mask[rows])
    assert len(taken) == 2
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(taken.keys, own.keys, strict=True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(taken.values, own.values, strict=True))
    assert decoder.remember(encoded, torch.ones(5, 6, dtype=torch.bool)).bias is None


def test_reading_parameters_takes_no_gradient():
    decoder = Decoder(network(14))
    memory = decoder.remember(sources(15, 2, 4)[0])
    hidden = decoder.step(torch.zeros(2, 1, dtype=torch.int64), decoder.start(memory))
    assert not hidden.requires_grad and not log_probs(decoder, hidden).requires_grad
