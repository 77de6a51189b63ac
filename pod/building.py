"""Putting POD together: tokenizer, ids, templates, backbone and network, from settings and training data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.models import Context, Training
from pod.backbone import build_backbone
from pod.network import PodNetwork
from pod.render import Renderer
from pod.scratch_tokenizer import train_tokenizer
from pod.t5 import T5Backbone
from pod.templates import Template, Templates, load_templates, parse_templates
from pod.tokens import Tokenizer, load_tokenizer
from pod.variants import PodSettings


@dataclass(frozen=True, eq=False)
class Built:
    """The parts of a model before training.

    data_digest: hex digest of what the model is trained on: a checkpoint of other data is refused.
    facts:       what is to be said beside its numbers.
    """

    network: PodNetwork
    renderer: Renderer
    templates: Templates
    data_digest: str
    facts: dict[str, Any]

    def asking_template(self, task: str, inference: str) -> Template:
        """The template for validation and asking: the bare one, or the first worded one where words are wanted."""
        worded = self.templates.worded[task]
        return self.templates.bare[task] if inference == "continuous" or not worded else worded[0]


def build(settings: PodSettings, training: Training, context: Context, vectors: int) -> Built:
    """Build the model. Draws initial values from torch's default generators; see `engine.randomness.seeded`.

    Raises UserError where tokenizer or backbone cannot be found or do not fit.
    """
    templates = parse_templates(settings.templates, "--templates") if settings.templates else load_templates()
    scratch = settings.backbone.startswith("scratch:")
    tokenizer = _tokenizer(settings, training, context, templates)
    renderer = _renderer(settings, training, tokenizer)
    if scratch:
        # Rows of pieces that no text of this dataset holds would cost time and learn nothing.
        used = renderer.occurring([t for task in templates.bare for t in templates.of(task)], _texts(training))
        renderer = _renderer(settings, training, tokenizer.compacted(used))
    backbone = build_backbone(settings.backbone, renderer.size, dropout=settings.dropout, offline=context.offline)
    network = PodNetwork(
        T5Backbone(backbone.network),
        vectors,
        word_scale=settings.whole_word_scale,
        words_on_prompts=settings.words_on_prompts,
    )
    facts = {
        "backbone": settings.backbone,
        "backbone_note": backbone.note,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "vocabulary": renderer.size,
        "tokenizer": renderer.tokenizer.note or "T5's",
        "templates": templates.digest,
    }
    return Built(network.to(context.device), renderer, templates, _digest(training), facts)


def _tokenizer(settings: PodSettings, training: Training, context: Context, templates: Templates) -> Tokenizer:
    """The backbone's tokenizer; for scratch backbones T5's, or one trained on the spot where T5's is not to be had."""
    scratch = settings.backbone.startswith("scratch:")
    try:
        where = None if scratch else settings.backbone
        return load_tokenizer(where, context.data_dir, offline=context.offline)
    except UserError as error:
        if not scratch:
            raise
        context.progress.line(f"{error.what}; one is trained on the texts of this data set instead")
        return train_tokenizer(_corpus(training, templates), seed=context.seed)


def _corpus(training: Training, templates: Templates) -> list[str]:
    """What a tokenizer of the data set's own is trained on: names of users and items, words of templates, sentences."""
    names = [f"user_{number} item_{number}" for number in range(1, max(training.n_users, training.n_items) + 1)]
    words = [template.fill("", []) for task in templates.bare for template in templates.of(task)]
    return [*names, *words, *_texts(training)]


def _texts(training: Training) -> tuple[str, ...]:
    return () if training.explanations is None else training.explanations[0].texts


def _renderer(settings: PodSettings, training: Training, tokenizer: Tokenizer) -> Renderer:
    users = np.arange(1, training.n_users + 1)
    return Renderer(tokenizer, users, training.item_numbers, settings.item_tokens)


def _digest(training: Training) -> str:
    digest = hashlib.sha256()
    for part in (training.sequences.offsets, training.sequences.values, training.item_numbers):
        digest.update(np.ascontiguousarray(part, dtype="<i8").tobytes())
    for pairs in training.explanations or ():
        digest.update(np.ascontiguousarray(pairs.users, dtype="<i8").tobytes())
        digest.update("\0".join(pairs.texts).encode())
    return digest.hexdigest()[:16]
