"""Explanations from outside, judged by the same code: a CSV or Parquet file with columns user, item and explanation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.cutting import Cutter
from bench.errors import UserError
from bench.explanation_judge import VARIETY, figure, judge_sentences
from bench.explanations import TEST
from bench.metrics.text import ROUGE_METRICS, BleuCounts, Family, bleu, bleu_spread
from bench.protocols import Protocol
from bench.ragged import FloatArray, IntArray
from bench.runs.outside import Estimate, estimate, indices_of, read_columns
from bench.splits import Split

COLUMNS = ("user", "item", "explanation")
_FORM = "the form is: user,item,explanation with the source's ids"
_SEED = 4


@dataclass(frozen=True)
class SentenceVerdict:
    """What a file of explanations is worth.

    evaluated: test pairs. explained: those of them with a sentence; the others count as "".
    others:    rows of pairs that are no test pairs, left out.
    cut:       how sentences and references were cut.
    metrics:   BLEU-4 and ROUGE of the protocol's family in percent. shares: the figures without a family.
    """

    file: str
    dataset: str
    protocol: str
    family: Family
    evaluated: int
    explained: int
    others: int
    cut: str
    metrics: dict[str, Estimate]
    shares: dict[str, float]


def judge_sentence_file(path: Path, split: Split, protocol: Protocol, cutter: Cutter) -> SentenceVerdict:
    """Judge a file of explanations on the split's test pairs.

    protocol: whose family of text metrics to show.
    Raises UserError, with row and field, at an unknown user or item or a pair that is there twice, and where the
    dataset has no explanations.
    """
    records = split.explanations
    if records is None:
        why = f" ({split.no_explanations})" if split.no_explanations else ""
        raise UserError(f"has no explanations{why}", f"dataset {split.dataset.name}", "choose another --task")
    rows = records.rows(TEST)
    pairs, texts = _read(path, split)
    # Records are sorted by user, then item, and so are these keys.
    asked = records.users[rows].astype(np.int64) * split.dataset.n_items + records.items[rows]
    places = np.searchsorted(asked, pairs).clip(max=len(asked) - 1)
    known = asked[places] == pairs
    sentences = [""] * len(rows)
    for row in np.flatnonzero(known).tolist():
        sentences[places[row]] = texts[row]
    judged = judge_sentences(records, sentences, cutter)
    family = protocol.text_metrics
    return SentenceVerdict(
        file=str(path),
        dataset=split.dataset.name,
        protocol=protocol.name,
        family=family,
        evaluated=len(rows),
        explained=int(known.sum()),
        others=int((~known).sum()),
        cut=judged.cut,
        metrics=estimates(judged.per_pair, judged.counts, family),
        shares={name: judged.figures[name] for name in VARIETY if name in judged.figures},
    )


def estimates(per_pair: Mapping[str, FloatArray], counts: BleuCounts, family: Family) -> dict[str, Estimate]:
    """BLEU-4 and ROUGE of a family in percent, each with standard error and 95 % interval over pairs.

    ROUGE is a mean over pairs (normal approximation), BLEU a figure of the corpus (percentile bootstrap).
    """
    rouge = {name: estimate(per_pair[figure(name, family)]) for name in ROUGE_METRICS}
    return {
        "BLEU-4": Estimate(bleu(counts, family), *bleu_spread(counts, family, np.random.default_rng(_SEED))),
        **rouge,
    }


def _read(path: Path, split: Split) -> tuple[IntArray, list[str]]:
    """(n,) pairs as user * items + item, and their sentences."""
    import pyarrow as pa

    table, unit, first = read_columns(path, COLUMNS, _FORM, lines=False)
    place, data = f"{path}: {unit}", split.dataset
    users, items = (
        indices_of(table.column(field), ids, field, place, first)
        for field, ids in (("user", data.user_ids), ("item", data.item_ids))
    )
    pairs = users * data.n_items + items
    order = np.argsort(pairs, kind="stable")
    again = order[1:][pairs[order][1:] == pairs[order][:-1]]
    if len(again):
        row = int(again.min())
        earlier = int(np.argmax(pairs == pairs[row])) + first
        what = f"user '{data.user_ids[users[row]]}' and item '{data.item_ids[items[row]]}' are there twice"
        raise UserError(f"{what}, before in {unit} {earlier}", f"{place} {first + row}", "explain each pair once")
    texts = table.column("explanation").cast(pa.string()).to_pylist()
    return pairs, [text or "" for text in texts]
