"""The whole way of the released code, from texts to ordered strings, through our rooms (../shared/golden)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from golden import TASKS, assert_same_lists, load_golden, stripped  # noqa: E402
from test_network import network_of  # noqa: E402

from bench.ragged import Ragged  # noqa: E402
from pod.answering import padded_states  # noqa: E402
from pod.batches import Examples, Shape, make_batch  # noqa: E402
from pod.beam import EXPLANATION, RANKING, beam_search  # noqa: E402
from pod.decoder import Decoder  # noqa: E402
from pod.tokens import Tokenizer  # noqa: E402


@pytest.mark.parametrize("sharp", [False, True])
@pytest.mark.parametrize("task", TASKS)
def test_texts_become_the_authors_ids_losses_and_lists(shared: Path, t5: Tokenizer, task: str, sharp: bool) -> None:
    golden = load_golden(shared, sharp)
    network, case = network_of(golden), golden.cases[task]
    ids = t5.encode(case["inputs"])
    words = t5.whole_words(ids)
    cut = 20 if task.startswith("explanation") else 512
    rows = t5.encode(case["targets"])
    targets = rows.slice_rows(rows.offsets[:-1], np.minimum(rows.offsets[1:], rows.offsets[:-1] + cut))
    examples = Examples(np.full(len(ids), case["task_id"]), ids, words, targets)
    batch = make_batch(examples, Shape(network.vectors, packed=False, averaging="padded-token"), "cpu")
    assert batch.ids.view(len(ids), -1)[:, network.vectors :].tolist() == case["input_ids"]
    assert batch.words.view(len(ids), -1)[:, network.vectors :].tolist() == case["whole_word_ids"]
    assert batch.targets.view(len(ids), -1).tolist() == case["target_ids"]
    with torch.no_grad():
        assert float(network(batch, masked=False)) == pytest.approx(case["loss_padding_counted"], abs=1e-5)
        states, _ = padded_states(network.encode(batch), batch)
    decoder = Decoder(golden.network)
    search = EXPLANATION if cut == 20 else RANKING
    found = beam_search(decoder, decoder.remember(states), search)
    lists = [[stripped(row) for row in user] for user in found.ids.tolist()]
    assert_same_lists(lists, found.scores.tolist(), case["beam_ids"])
    for user, strings in zip(found.ids.numpy(), case["beams"], strict=True):
        assert sorted(t5.decode(user)) == sorted([strings] if isinstance(strings, str) else strings)


def test_the_groups_of_the_published_search_are_one(shared: Path) -> None:
    golden = load_golden(shared)
    assert EXPLANATION.beams * 3 == 21 and EXPLANATION.min_length == 10
    assert replace(RANKING).max_length == 50 and RANKING.beams == RANKING.returned == 20
    assert len(golden.cases["explanation"]["beams"]) == len(Ragged.from_rows(golden.cases["explanation"]["input_ids"]))
