"""Decoding as the released code does: the same lists as ours, twenty times the tokens encoded."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from contract import tiny  # noqa: E402

from bench.models import Context, Pairs, Timeable  # noqa: E402
from bench.protocols import PROTOCOLS  # noqa: E402
from bench.runs.execute import training_data  # noqa: E402
from bench.tasks import Queries, make_queries  # noqa: E402
from pod.beam import RANKING, beam_search  # noqa: E402
from pod.decoder import Decoder  # noqa: E402
from pod.plain import plain_search  # noqa: E402
from pod.recommender import Pod, network_of  # noqa: E402
from pod.variants import PodSettings  # noqa: E402

SMALL = PodSettings(
    backbone="scratch:16x1", strategy="fastest", batch_size=16, topn_batch_size=8, epochs=2, learning_rate=3e-3
)


@cache
def fitted(protocol: str, settings: PodSettings = SMALL) -> Pod:
    model = Pod(settings)
    model.fit(training_data(tiny(), ("sequential", "topn"), PROTOCOLS[protocol]), Context(0, offline=True))
    return model


def questions(task: Any, protocol: str) -> Queries:
    queries = make_queries(tiny(), task, "test", keep_history=PROTOCOLS[protocol].keep_history)
    return queries.take(np.arange(12))


@pytest.mark.parametrize("task", ["sequential", "topn"])
@pytest.mark.parametrize("inference", ["continuous", "continuous+discrete"])
def test_the_same_lists_both_ways(task: Any, inference: Any) -> None:
    model: Timeable = fitted("published", replace(SMALL, inference=inference))
    plain, ours = (model.way(way) for way in ("plain", "ours"))
    queries = questions(task, "published")
    found, expected = plain.rank(queries), ours.rank(queries)
    same = (found.items == expected.items).all(1)
    assert same.mean() >= 0.9, "but for near-ties"
    assert found.scores[same] == pytest.approx(expected.scores[same], abs=1e-4)
    assert plain.work["encoded"] == 20 * ours.work["encoded"] > 0
    assert plain.work["decoded"] >= ours.work["decoded"] > 0


def test_explanations_are_the_same_by_three_times_the_beams() -> None:
    plain, ours = (fitted("published").way(way) for way in ("plain", "ours"))
    pairs = Pairs(np.arange(8), np.arange(8))
    assert plain.explain(pairs) == ours.explain(pairs)
    assert plain.work["encoded"] == 21 * ours.work["encoded"]


def test_a_constrained_run_is_timed_without_its_audit() -> None:
    model = fitted("sound")
    ours, queries = model.way("ours"), questions("sequential", "sound")
    ranking = ours.rank(queries)
    assert np.array_equal(ranking.items, model.rank(queries).items)
    read = ours.work["encoded"]
    assert read == int(ours._asked(queries).ids.lengths.sum()) + 3 * len(queries), "once, prompt vectors included"
    assert model.way("plain").rank(queries).items.shape == ranking.items.shape


@pytest.mark.parametrize("masked", [False, True])
def test_padding_is_seen_or_not_by_both(masked: bool) -> None:
    network = network_of(fitted("sound"))
    generator = torch.Generator().manual_seed(3)
    embedded = torch.randn(4, 9, network.backbone.width, generator=generator)
    real = torch.arange(9)[None] < torch.tensor([9, 4, 7, 6])[:, None]
    search = replace(RANKING, beams=5, returned=5)
    found, steps = plain_search(network.backbone, embedded, real, search, masked=masked)
    with torch.no_grad():
        encoded = network.backbone.network.encoder(inputs_embeds=embedded, attention_mask=real.long())
    decoder = Decoder(network.backbone.network)
    memory = decoder.remember(encoded.last_hidden_state, real if masked else None)
    ours = beam_search(decoder, memory, search)
    for user, row in zip(found, ours.ids.tolist(), strict=True):
        assert user[0][1] == tuple(row[0][: len(user[0][1])])
    assert [user[0][0] for user in found] == pytest.approx(ours.scores[:, 0].tolist(), abs=1e-4)
    assert steps >= 1
