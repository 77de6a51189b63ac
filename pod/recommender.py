"""POD as the referee sees it: fit on all tasks, then rank and explain (POD section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.errors import UserError
from bench.models import Context, Pairs, Training
from bench.ragged import IntArray
from bench.tasks import Queries, Ranking
from engine.checkpoint import load_state
from engine.randomness import seeded
from pod.answering import Answerer
from pod.batches import Shape, make_batch
from pod.building import Built, build
from pod.network import PodNetwork
from pod.samples import Computed, Drawing, Sampler
from pod.training import Learner, Plan, check_origin, token_batches
from pod.variants import ASKING, PodSettings

# Raised whenever weights of an earlier version would mean something else.
WEIGHTS_VERSION = 1
_TASKS = ("explanation", "sequential", "topn")


class Pod:
    """POD and, without prompt vectors, P5: see `pod.variants.PodSettings`."""

    def __init__(self, settings: PodSettings) -> None:
        self.settings = settings

    def fit(self, training: Training, context: Context) -> None:
        """Train to the early stop; the learning curve and facts go into the context."""
        torch.set_num_threads(context.threads)
        with seeded(context.seed, context.device):
            built = self._build(training, context)
            learner = Learner(
                built.network,
                self._sampler(built, training, context.seed),
                self._plan(training),
                self._shape(training),
                _Validator(self, built, training, context).losses,
                context,
                masked=self._masked(training),
                origin=self._origin(training, built),
            )
            learner.run()
        self._ready(built, training, context)

    def restore(self, weights: Path, training: Training, context: Context) -> None:
        """Take the weights of a run that shares this fit; UserError where they are of another."""
        torch.set_num_threads(context.threads)
        with seeded(context.seed, context.device):
            built = self._build(training, context)
        state = load_state(weights)
        if state is None:
            raise UserError("no weights are there", str(weights), "run again with --force")
        check_origin(state.facts.get("origin", {}), self._origin(training, built), str(weights))
        built.network.load_state_dict(state.tensors)
        self._ready(built, training, context)

    def rank(self, queries: Queries) -> Ranking:
        """Generated item ids, best first: see `pod.answering`."""
        return self._answerer.rank(queries)

    def explain(self, pairs: Pairs) -> list[str]:
        """A generated sentence for each pair."""
        return self._answerer.explain(pairs)

    def way(self, name: str) -> Answerer:
        """The fitted model asked in one of the WAYS, without an audit of its searches, to be timed."""
        from pod.plain import PlainAnswerer

        return (PlainAnswerer if name == "plain" else Answerer)(*self._asked_of, audited=0)

    def _build(self, training: Training, context: Context) -> Built:
        built = build(self.settings, training, context, self._vectors(training))
        context.facts.update(built.facts)
        context.facts["strategy"] = self._strategy(training)
        context.facts["prompt_vectors"] = self._vectors(training)
        return built

    def _ready(self, built: Built, training: Training, context: Context) -> None:
        built.network.eval()
        self._asked_of = (self.settings, built, training, context, self._vectors(training), self._masked(training))
        self._answerer = Answerer(*self._asked_of)

    def _vectors(self, training: Training) -> int:
        """K, the prompt vectors of a task."""
        return training.protocol.prompt_vectors if self.settings.prompts is None else self.settings.prompts

    def _masked(self, training: Training) -> bool:
        """Whether padding is hidden from cross-attention and losses."""
        given = self.settings.mask_padding
        return training.protocol.mask_cross_attention if given is None else given

    def _strategy(self, training: Training) -> Computed:
        strategy = self.settings.strategy
        if strategy == "fastest":
            return "packed" if self._masked(training) else "task-alternated"
        if strategy == "packed" and not self._masked(training):
            fix = "use strategy fastest or task-alternated, or mask_padding=true"
            where = f"protocol {training.protocol.name}, strategy packed"
            raise UserError("batches without padding are exact only where padding is masked", where, fix)
        return strategy

    def _shape(self, training: Training) -> Shape:
        counted = training.protocol.count_padding and not self.settings.mask_padding
        packed = self._strategy(training) == "packed"
        return Shape(self._vectors(training), packed, "padded-token" if counted else "sample")

    def _sampler(self, built: Built, training: Training, seed: int) -> Sampler:
        settings, strategy = self.settings, self._strategy(training)
        sizes: dict[Any, int] = {task: settings.batch_size for task in _TASKS if task in settings.tasks}
        if "topn" in sizes:
            sizes["topn"] = settings.topn_batch_size or settings.batch_size
        first = training.protocol.shuffle_first_pass
        drawing = Drawing(strategy, sizes, settings.batch_size, settings.bare, first)
        return Sampler(training, built.renderer, built.templates, drawing, seed)

    def _plan(self, training: Training) -> Plan:
        s = self.settings
        return Plan(
            epochs=s.epochs,
            patience=s.patience,
            reset_patience=training.protocol.reset_patience,
            learning_rate=s.learning_rate,
            warmup=s.warmup,
            decay=s.decay,
            weight_decay=s.weight_decay,
            clip=s.clip,
            parts=s.parts,
            bf16=s.precision == "bf16",
        )

    def _origin(self, training: Training, built: Built) -> dict[str, Any]:
        """What a checkpoint must have been made with to be of use here."""
        settings = {name: value for name, value in asdict(self.settings).items() if name not in ASKING}
        return {
            "version": WEIGHTS_VERSION,
            "data": built.data_digest,
            "vocabulary": built.renderer.size,
            "prompt vectors": self._vectors(training),
            "settings": {name: list(v) if isinstance(v, tuple) else v for name, v in settings.items()},
        }


@dataclass(frozen=True, eq=False)
class _Validator:
    """Validation losses as training averages them, over the bare template."""

    owner: Pod
    built: Built
    training: Training
    context: Context

    def losses(self, epoch: int) -> dict[str, float]:
        """The loss of each task that is trained, over its validation examples."""
        owner, built = self.owner, self.built
        sampler = owner._sampler(built, self.training, self.context.seed)
        found = {}
        for task in sampler.tasks:
            template = built.asking_template(task, owner.settings.inference)
            examples = sampler.validation(task, template, epoch, owner.settings.validation_users)
            shape, total = owner._shape(self.training), torch.zeros((), dtype=torch.float64, device=self.context.device)
            for rows in self._batches(examples.ids.lengths):
                batch = make_batch(examples.take(rows), shape, self.context.device)
                total += built.network(batch, masked=owner._masked(self.training)) * len(rows)
            found[task] = float(total) / max(1, len(examples))
        return found

    def _batches(self, lengths: IntArray) -> Iterator[IntArray]:
        """Batches of like length; where padding counts, those that the order of examples gives."""
        if self.owner._masked(self.training):
            return token_batches(lengths, self.owner.settings.token_budget)
        size = self.owner.settings.batch_size
        return (np.arange(start, min(start + size, len(lengths))) for start in range(0, len(lengths), size))


def network_of(model: Pod) -> PodNetwork:
    """The trained network, for tests and benchmarks."""
    return model._answerer.network
