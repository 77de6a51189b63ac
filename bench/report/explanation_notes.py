"""What must stand under tables of explanations: whose sentences, how they were cut, which arithmetic."""

from __future__ import annotations

from collections.abc import Container

from bench.metrics.text import Family
from bench.report.notes import (
    MARKED,
    NUMBERED,
    changed_settings,
    data_notes,
    paper_note,
    run_notes,
    seed_note,
    text_models_in_words,
)
from bench.report.specs import TableSpec
from bench.report.text_models import model_notes
from bench.runs.plan import Plan

_ARITHMETIC: dict[Family, str] = {
    "published": "figures as the released code computes them (ROUGE over sets of n-grams, its ROUGE-L with beta = P/R; "
    "BLEU counts only sentences long enough for an order)",
    "standard": "figures of nltk (corpus BLEU) and rouge-score (F1)",
}

# A share of different sentences below which figures say more about the references than about the model.
_UNIQUE, _MONOTONE = "unique sentences", 0.05


def explanation_notes(spec: TableSpec, plan: Plan, has_paper: bool, shown: Container[str]) -> tuple[str, ...]:
    """Sentences on pairs, preset, seeds, protocols, the cut, text models, marks and the paper's figures.

    shown: the models that have a row.
    """
    told = model_notes((e for e in plan.entries if e.info.name in shown), "explanation")
    protocols = [
        f"Protocol {each.name}: {_ARITHMETIC[each.text_metrics]}; "
        f"{'trained' if each.held_out_pairs else 'not trained'} on the held-out pairs of the recommendation tasks"
        + (f"; text models: {NUMBERED[each.item_numbering]}, {text_models_in_words(each)}." if told else ".")
        for each in plan.protocols
    ]
    return (
        *run_notes(plan, pairs_note(plan)),
        seed_note(plan),
        *protocols,
        *cut_notes(plan),
        *monotony_notes(plan, shown),
        *changed_settings(plan),
        *told,
        f"{MARKED}.",
        *paper_note(spec, has_paper),
        *data_notes(plan.card),
    )


def pairs_note(plan: Plan) -> str:
    """How many pairs figures are of, as records tell it; "" where none does."""
    found = {e.record.judged.figures["n"] for e in plan.entries if e.record and e.record.judged}
    return f"{' or '.join(f'{n:,.0f}' for n in sorted(found))} pairs of user and item are explained" if found else ""


def cut_notes(plan: Plan) -> list[str]:
    """How sentences and references were cut: one sentence, or one a way where verdicts differ, with their models."""
    ways: dict[str, dict[str, None]] = {}
    for entry in plan.entries:
        if entry.record and entry.record.judged:
            ways.setdefault(entry.record.judged.cut, {})[entry.info.title] = None
    if len(ways) < 2:
        return [f"Sentences and references of every model are cut at {way}." for way in ways]
    told = "; ".join(f"at {way}: {', '.join(titles)}" for way, titles in ways.items())
    return [f"Sentences and references are not cut alike, so figures do not compare: {told}."]


def monotony_notes(plan: Plan, shown: Container[str]) -> list[str]:
    """A sentence on models that learn and yet say a few sentences to everybody, which such metrics do not see.

    shown: the models that have a row.
    """
    told: dict[str, list[str]] = {}
    for entry in plan.entries:
        if entry.record and entry.record.judged and entry.info.family != "rule" and entry.info.name in shown:
            figures = entry.record.judged.figures
            share, n = figures.get(_UNIQUE, 1.0), figures["n"]
            if share < _MONOTONE:
                few = f"{round(share * n):,} to {n:,.0f} pairs ({entry.protocol.name}, seed {entry.seed})"
                told.setdefault(entry.info.title, []).append(few)
    return [f"{title} says few sentences: {', '.join(each)}; see the variety table." for title, each in told.items()]
