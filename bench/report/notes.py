"""What must stand under a table so that no figure is shown without its conditions."""

from __future__ import annotations

from collections.abc import Container

from bench.protocols import Protocol
from bench.report.machines import device_in_words
from bench.report.shown import brief
from bench.report.specs import TableSpec
from bench.report.text_models import model_notes
from bench.runs.plan import DatasetCard, Plan
from bench.settings import PRESETS


def general_notes(spec: TableSpec, plan: Plan, has_paper: bool, shown: Container[str]) -> tuple[str, ...]:
    """Sentences on dataset, preset, protocols, seeds, device, text models, marks and the paper's figures.

    shown: the models that have a row.
    """
    card = plan.card
    texts = model_notes((e for e in plan.entries if e.info.name in shown), spec.task)
    notes = [
        *run_notes(plan),
        seed_note(plan),
        *(f"Protocol {each.name}: {protocol_in_words(each, text_models=bool(texts))}." for each in plan.protocols),
        *changed_settings(plan),
        *texts,
    ]
    probes = list(dict.fromkeys(e.info.title for e in plan.entries if e.info.family == "probe"))
    notes.append(f"{MARKED}; {' and '.join(probes)} learns nothing and takes no part." if probes else f"{MARKED}.")
    notes.extend(paper_note(spec, has_paper))
    notes.extend(data_notes(card))
    return tuple(notes)


MARKED = "The best figure of a column is marked as best, the next as second"


def paper_note(spec: TableSpec, has_paper: bool) -> list[str]:
    """A sentence on the paper's figures, where it prints any for this dataset."""
    printed = f"Paper: what Table {spec.number} of POD (CIKM 2023) prints for this dataset."
    return [f"{printed} {spec.remark}".rstrip()] if has_paper else []


def run_notes(plan: Plan, evaluated: str = "") -> list[str]:
    """Sentences on dataset, preset and device. evaluated: whom figures are of; "": the evaluated users."""
    card = plan.card
    return [
        f"Dataset: {card.name} ({card.source}); {evaluated or f'{card.evaluated:,} users are evaluated'}.",
        f"Preset: {plan.preset} ({PRESETS.get(plan.preset, 'unknown')}). {_devices(plan)}",
    ]


def changed_settings(plan: Plan) -> list[str]:
    """A sentence on what differs from the preset's, of the models that the plan is about."""
    models = {entry.info.name for entry in plan.entries}
    changed = [
        f"{model}.{name}={brief(value.strip())}"
        for model, each in plan.overrides.items()
        for name, value in each.items()
        if model in models
    ]
    return [f"Settings changed from the preset's: {', '.join(changed)}."] if changed else []


def size_notes(card: DatasetCard, has_paper: bool) -> tuple[str, ...]:
    """Sentences for Table 1."""
    notes = [
        f"Dataset: {card.name} ({card.source}).",
        "Sparsity is the paper's word for the filled share of the user-item matrix.",
    ]
    if has_paper:
        notes.append("Paper: what Table 1 of POD (CIKM 2023) prints for this dataset.")
    return (*notes, *data_notes(card))


NUMBERED = {
    "appearance": "items numbered by first appearance in whole histories",
    "train": "items numbered by first appearance in training",
    "random": "items numbered at random",
}


def protocol_in_words(protocol: Protocol, *, text_models: bool = False) -> str:
    """A protocol's settings as a phrase. text_models: with those that touch text models alone."""
    return f"{NUMBERED[protocol.item_numbering]}; {but_numbers_in_words(protocol, text_models=text_models)}"


def but_numbers_in_words(protocol: Protocol, *, text_models: bool = False) -> str:
    """The same without how items are numbered."""
    history = "generated lists may hold history items" if protocol.keep_history else "no list holds history items"
    repeats = "an item counts as often as it is generated" if protocol.per_occurrence else "an item counts once"
    words = f"{history}; {repeats}"
    return f"{words}; text models: {text_models_in_words(protocol)}" if text_models else words


def text_models_in_words(protocol: Protocol) -> str:
    """What a protocol decides for text models that leave it open: training, then search."""
    told = (
        (protocol.held_out_pairs, "explanations of held-out pairs trained on", "held-out pairs kept out of training"),
        (protocol.count_padding, "losses count padding", "losses leave padding out"),
        (protocol.mask_cross_attention, "cross-attention masked", "cross-attention sees padding"),
        (protocol.shuffle_first_pass, "every pass shuffled", "first pass in the data's order"),
        (
            protocol.whole_history_negatives,
            "top-N training avoids whole histories, held-out items included",
            "top-N training avoids training items",
        ),
        (protocol.redraw_validation, "validation negatives redrawn each epoch", "validation negatives fixed"),
        (protocol.reset_patience, "patience reset by progress", "patience never reset"),
        (
            protocol.constrained,
            "search held to real items, candidates in top-N",
            "free search, what names no item replaced at random",
        ),
    )
    return ", ".join([f"K = {protocol.prompt_vectors}", *(yes if holds else no for holds, yes, no in told)])


def _devices(plan: Plan) -> str:
    found = (entry.record.content for entry in plan.entries if entry.record)
    devices = sorted({device_in_words(str(each["device"]), each.get("environment", {})) for each in found})
    return f"Device: {' and '.join(devices)}." if devices else "Device: none yet."


def seed_note(plan: Plan) -> str:
    """A sentence on seeds and spread."""
    seeds = ", ".join(map(str, plan.seeds))
    if len(plan.seeds) == 1:
        return f"Seed: {seeds}; one run each, so no spread is given."
    return f"Seeds: {seeds}; mean ± standard deviation over seeds; models without randomness ran once."


def data_notes(card: DatasetCard) -> list[str]:
    """A sentence on what was dropped or cut of the source's data."""
    counted = [f"{note.count:,} {note.rule}" for note in card.notes if note.count]
    return [f"Data: {'; '.join(counted)}."] if counted else []
