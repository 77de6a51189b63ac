"""The published beam search: the authors' lists, transformers' own search, and the rule written out for one user."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from golden import TASKS, assert_same_lists, load_golden, stripped  # noqa: E402
from networks import network, sources  # noqa: E402
from transformers.modeling_outputs import BaseModelOutput  # noqa: E402

from pod.beam import EXPLANATION, RANKING, Search, beam_search  # noqa: E402
from pod.decoder import Decoder  # noqa: E402


def searched(model, encoded, mask, search):
    """Each user's hypotheses as tuples without padding, and their scores."""
    decoder = Decoder(model)
    found = beam_search(decoder, decoder.remember(encoded, mask), search)
    assert (found.scores.diff(dim=1) <= 0).all()
    return [[stripped(row) for row in user] for user in found.ids.tolist()], found.scores.tolist()


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_the_authors_lists(shared, task, sharp):
    golden = load_golden(shared, sharp)
    search = EXPLANATION if task.startswith("explanation") else RANKING
    encoded, _ = golden.encoded(task)
    found, scores = searched(golden.network, encoded, None, search)
    assert_same_lists(found, scores, golden.cases[task]["beam_ids"])


def by_the_rule(model, encoded, mask, search):
    """One user's finished hypotheses, best first, by transformers 4.18's bookkeeping in lists, without any cache."""
    open_beams, finished = [((0,), 0.0)], []

    def finish(ids, total, length):
        finished.append((total / length, len(finished), ids))
        if len(finished) > search.beams:
            finished.remove(min(finished))

    while len(finished) < search.beams:
        ids = torch.tensor([each for each, _ in open_beams])
        rows = [len(ids), 1, 1]
        with torch.no_grad():
            logits = model(
                encoder_outputs=(encoded.repeat(rows),),
                attention_mask=None if mask is None else mask.repeat(rows[:2]).long(),
                decoder_input_ids=ids,
            ).logits[:, -1]
        log_probs = torch.log_softmax(logits.double(), -1)
        length = ids.shape[1]
        if length < search.min_length:
            log_probs[:, 1] = -torch.inf
        totals = (log_probs + torch.tensor([total for _, total in open_beams])[:, None]).flatten()
        best = totals.topk(2 * search.beams)
        following = []
        for rank, (total, place) in enumerate(zip(best.values.tolist(), best.indices.tolist(), strict=True)):
            beam, token = divmod(place, log_probs.shape[1])
            if token == 1:
                if rank < search.beams:
                    finish((*open_beams[beam][0], 1), total, length)
            elif len(following) < search.beams:
                following.append(((*open_beams[beam][0], token), total))
        open_beams = following
        if length + 1 == search.max_length:
            if len(finished) < search.beams:
                for each, total in open_beams:
                    finish(each, total, search.max_length)
            break
    return [(ids, score) for score, _, ids in sorted(finished, reverse=True)][: search.returned]


@pytest.mark.parametrize("flan", [False, True])
@pytest.mark.parametrize(
    "search",
    [
        Search(4, 4, max_length=9),
        Search(5, 2, max_length=7, min_length=4),
        Search(1, 1, max_length=6),
        Search(7, 7, max_length=3),
    ],
)
def test_each_user_as_the_rule_says_whoever_shares_the_batch(search, flan):
    # Small vocabularies end often, so that users leave at different steps.
    model = network(21 + flan, vocabulary=20, flan=flan, ends=2.0)
    encoded, mask = sources(22, users=12, length=8)
    found, scores = searched(model, encoded, mask, search)
    for user in range(12):
        expected = by_the_rule(model, encoded[user : user + 1], mask[user : user + 1], search)
        assert found[user] == [ids for ids, _ in expected]
        assert scores[user] == pytest.approx([score for _, score in expected], abs=2e-5)


@pytest.mark.parametrize("flan", [False, True])
def test_transformers_own_search_finds_the_same(flan):
    model = network(31 + flan, vocabulary=20, flan=flan, ends=6.0)
    encoded, mask = sources(32, users=20, length=10)
    beams = 6
    with torch.no_grad():
        theirs = model.generate(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=mask.long(),
            num_beams=beams,
            num_return_sequences=beams,
            max_length=20,
            early_stopping=True,
            length_penalty=1.0,
            do_sample=False,
            return_dict_in_generate=True,
            output_scores=True,
        )
    found, scores = searched(model, encoded, mask, Search(beams, beams, max_length=20))
    # Today's transformers count ids without the start token but with EOS: as many, but for hypotheses cut at the end.
    whole = 0
    for user in range(20):
        rows = [stripped(row) for row in theirs.sequences[user * beams : (user + 1) * beams].tolist()]
        if all(row[-1] == 1 for row in rows):
            whole += 1
            assert found[user] == rows
            assert scores[user] == pytest.approx(theirs.sequences_scores[user * beams :][:beams].tolist(), abs=2e-5)
    assert whole >= 4


def test_the_vocabulary_need_not_be_whole_blocks_nor_wider_than_the_beams():
    for vocabulary in (3, 10, 65, 128):
        model = network(41, vocabulary=vocabulary)
        found, scores = searched(model, *sources(42, users=3, length=4), Search(6, 6, max_length=5))
        assert all(max(row) < vocabulary for user in found for row in user)
        assert all(len(set(user)) == 6 for user in found) or vocabulary == 3
        assert all(score <= 0 for user in scores for score in user)


def test_nonsense_settings_are_refused():
    for wrong in ({"returned": 5}, {"returned": 0}, {"max_length": 1}, {"min_length": 9, "max_length": 9}):
        with pytest.raises(ValueError):
            Search(**{"beams": 4, "returned": 4, **wrong})


def test_equal_calls_give_equal_bytes():
    model, (encoded, mask) = network(51), sources(52, users=5, length=6)
    decoder = Decoder(model)
    first, second = (beam_search(decoder, decoder.remember(encoded, mask), Search(8, 8, 8)) for _ in range(2))
    assert torch.equal(first.ids, second.ids) and torch.equal(first.scores, second.scores)
    none = beam_search(decoder, decoder.remember(encoded[:0], mask[:0]), Search(8, 8, 8))
    assert none.ids.shape[:2] == (0, 8)
