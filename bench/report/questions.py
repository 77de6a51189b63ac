"""What the audit asks: how far figures hang on choices that a paper seldom tells of (PUBLISHED.md)."""

from __future__ import annotations

from bench.protocols import PROTOCOLS, sound_but, with_numbering
from bench.runs.audited import Practice, Question
from bench.tasks import TaskName

_SOUND = PROTOCOLS["sound"]
_NEXT_ITEM: tuple[tuple[TaskName, str], ...] = (("sequential", "HR@10"), ("sequential", "NDCG@10"))
_EVERY_TASK: tuple[tuple[TaskName, str], ...] = (
    ("sequential", "HR@10"),
    ("topn", "NDCG@10"),
    ("explanation", "ROUGE-L"),
)
_BOTH_RANKINGS: tuple[tuple[TaskName, str], ...] = (("sequential", "HR@10"), ("topn", "HR@10"), ("topn", "NDCG@10"))
# A step is laid out in the same way for both, so that they differ in what losses count alone.
_PADDED = (("strategy", "task-alternated"),)
_RANKERS = (
    "popularity",
    "item-knn",
    "sequential-rules",
    "mf",
    "mlp",
    "caser",
    "hgn",
    "gru4rec",
    "bert4rec",
    "fdsa",
    "sasrec",
    "s3rec",
    "sasrec-pairwise",
)

QUESTIONS = (
    Question(
        "item-numbers",
        "What item numbers give away",
        ("pod", "p5", "pod-sequential", "id-order"),
        _NEXT_ITEM,
        (
            Practice("numbers from training", _SOUND),
            Practice("numbers by appearance", with_numbering(_SOUND, "appearance")),
            Practice("random numbers", with_numbering(_SOUND, "random")),
        ),
        "Numbers by first appearance over whole histories, as in the released code, let a held-out item often be the "
        "next number (PUBLISHED.md, line 1); Id order learns nothing and lists it first.",
    ),
    Question(
        "explanation-split",
        "Held-out pairs among the explanations that are trained on",
        ("pod", "att2seq", "nrt", "peter"),
        _EVERY_TASK,
        (
            Practice("held-out pairs left out", _SOUND),
            Practice("held-out pairs trained on", sound_but("held-out-pairs")),
        ),
        "The published 8:1:1 split of reviews trains explanations on pairs of users and held-out items of the "
        "recommendation tasks (PUBLISHED.md, line 2). Test records are the same.",
        needs_explanations=True,
    ),
    Question(
        "padding",
        "Padding among the targets of the loss",
        ("pod",),
        _EVERY_TASK,
        (
            Practice("padding ignored", _SOUND, _PADDED),
            Practice("padding counted", sound_but("counted-padding"), _PADDED),
        ),
        "Both are trained in padded batches of one task each, as the released code does (PUBLISHED.md, line 3).",
    ),
    Question(
        "decoding",
        "Search held to real items, or free",
        ("pod", "p5"),
        _BOTH_RANKINGS,
        (Practice("constrained search", _SOUND), Practice("free search", sound_but("free-search"))),
        "The same weights asked in two ways. Free: what names no item is replaced at random; history items, repeated "
        "ones and, in top-N, what is no candidate are lost places (PUBLISHED.md, lines 15 and 16).",
    ),
    Question(
        "sampled-ranking",
        "The held-out item among 99 others, or among the whole catalogue",
        _RANKERS,
        _NEXT_ITEM,
        (
            Practice("whole catalogue", _SOUND, task="sequential"),
            Practice("1 + 99 candidates", _SOUND, task="topn"),
        ),
        "The same run and held-out items. POD and P5 have no such row: candidates are part of what they are asked.",
    ),
    Question(
        "prompt-vectors",
        "Prompt vectors: K as the paper says, and as its logs have it",
        ("pod",),
        _EVERY_TASK,
        (Practice("K = 3", _SOUND), Practice("K = 10", _SOUND, (("prompts", "10"),))),
        "The paper says K = 3; its published logs ran with 10 (PUBLISHED.md, line 5).",
    ),
)
