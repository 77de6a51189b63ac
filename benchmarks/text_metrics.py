"""How fast 100,000 generated sentences are judged: `python -m benchmarks.text_metrics`.

Bar: 60 seconds on one core for both families' BLEU and ROUGE, an interval of each BLEU and the diversity figures.
Sentences are generated, 5 to 20 words long as explanations are.
"""

from __future__ import annotations

import sys

import numpy as np

from bench.metrics.diversity import diversity_scores
from bench.metrics.text import FAMILIES, bleu_interval, text_scores
from benchmarks.measure import Bar, finish, hold

N_PAIRS, N_WORDS = 100_000, 20_000
STEPS = {"all metrics": Bar(60.0, 2.0)}


def make_pairs(rng: np.random.Generator) -> tuple[list[str], list[str], list[str]]:
    """References, hypotheses that share words with them, and a feature for each pair; words by Zipf's law."""
    weights = 1.0 / np.arange(1, N_WORDS + 1)
    words = np.array([f"w{n}" for n in range(N_WORDS)])
    draws = rng.choice(N_WORDS, size=(2, N_PAIRS, 20), p=weights / weights.sum())
    lengths = rng.integers(5, 21, size=(2, N_PAIRS))
    references, hypotheses = (
        [" ".join(words[row[:length]]) for row, length in zip(draws[side], lengths[side], strict=True)]
        for side in (0, 1)
    )
    return references, hypotheses, [f"w{n}" for n in rng.integers(0, 500, N_PAIRS)]


def main(arguments: list[str]) -> int:
    """With a step: measure it here. Without: measure it in a process of its own; 1 if the bar is missed."""
    if not arguments:
        return min(1, hold("benchmarks.text_metrics", STEPS))
    rng = np.random.default_rng(1)
    references, hypotheses, features = make_pairs(rng)

    def judge_all() -> dict[str, float]:
        scores = text_scores(references, hypotheses)
        figures = {f"{family} {name}": value for family in FAMILIES for name, value in scores[family].corpus.items()}
        for family in FAMILIES:
            figures[f"{family} BLEU-4 from"], figures[f"{family} BLEU-4 to"] = bleu_interval(
                scores[family].counts, family, rng
            )
        figures.update(diversity_scores(hypotheses, features))
        return {name: round(value, 3) for name, value in figures.items()}

    finish(judge_all)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
