"""Plans with made-up records, so that every cell of a table is known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, field, make_dataclass
from pathlib import Path

from bench.data.dataset import DataNote
from bench.models import ModelInfo, Registry
from bench.protocols import PROTOCOLS
from bench.runs.failure import Failure
from bench.runs.plan import DatasetCard, attach, make_plan
from bench.runs.record import Record


@dataclass(frozen=True)
class LlmSettings:
    """backbone: of the language model."""

    backbone: str = "t5-small"


NOTES = (DataNote("repeated user-item pairs dropped", 12), DataNote("of nothing", 0))
BOTH = tuple(PROTOCOLS.values())
TASKS = ("sequential", "topn")


def tied(backbone, **more):
    """Settings of a text model with these defaults."""
    values = {"backbone": backbone, **more}
    fields = [(name, type(value), field(default=value)) for name, value in values.items()]
    return make_dataclass("TextSettings", fields, frozen=True)


def info(name, title=None, family="sequential", settings=None, **more):
    more = {"factory": "nowhere:Nothing", **({"settings": settings} if settings else {}), **more}
    return ModelInfo(name, title or name, family, TASKS, **more)


def card(name="beauty", source="authors' folder", notes=NOTES):
    return DatasetCard(name, source, 22363, 12101, 198502, 0.07335, 22360, (), "data", "split", notes)


def record(job, figures, device="cpu", facts=None):
    """figures: metric -> value, the same for both tasks. facts: what the model noted of itself."""
    metrics = {task: {**figures, "n": 22360} for task in job.info.tasks}
    content = {"key": job.key, "identity": job.identity, "dataset": job.dataset, "preset": job.preset}
    content |= {"facts": facts} if facts else {}
    return Record(Path("nowhere"), {**content, "title": job.info.title, "device": device, "metrics": metrics})


def flat(value):
    """Every metric of a run has this value."""
    return dict.fromkeys(("HR@1", "HR@5", "NDCG@5", "HR@10", "NDCG@10"), value)


class Bench:
    """A registry of models and the values of their runs.

    values: model -> value, or seed -> value, or (protocol, seed) -> value; a text is the reason of a failure.
    facts:  (model, protocol) -> what its record says of itself.
    """

    def __init__(self, models, values, *, seeds=(0,), protocols=BOTH, dataset=None, facts=None, **options):
        self.registry = Registry({model.name: model for model in models}, {})
        self.card = dataset or card()
        names = [model.name for model in models]
        self.plan = make_plan(self.card, "laptop", names, self.registry, list(protocols), list(seeds), **options)
        found = {}
        failures = []
        for entry in self.plan.entries:
            value = values.get(entry.info.name)
            if isinstance(value, dict):
                value = value.get((entry.protocol.name, entry.seed), value.get(entry.seed))
            if isinstance(value, str):
                failures.append(Failure(entry.job.key, entry.info.name, value))
            elif value is not None:
                noted = (facts or {}).get((entry.info.name, entry.protocol.name))
                figures = value if isinstance(value, dict) else flat(value)
                found[entry.job.key] = record(entry.job, figures, facts=noted)
        self.records = list(found.values())
        attach(self.plan, self.records, failures)
