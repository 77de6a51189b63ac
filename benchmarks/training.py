"""What a training step costs, packed against padded as the authors do, both in one process by turns.

    python -m benchmarks.training [--data-dir DIR] [--quick] [--rounds 5] [SHAPE ...]

Both sides train POD's network on the same samples, sequential and explanation mixed, 64 a step, with dropout. The
padded side is P5's way: every row is as wide as the longest, the encoder and decoder of transformers run over that
with an attention mask, then AdamW as it is by default. Before anything is timed both sides' losses must agree, with
dropout off. "torch's products" is our side without oneDNN.

Data: Beauty's sequences with Musical Instruments' sentences on their first interactions, from --data-dir; without it
the generated demo. Weights are random: a step's cost does not depend on them. Rows of the vocabulary: T5's 32,128 at
T5-small's shape; those that the data needs at the other, as the suite trains it.
Costs are CPU-seconds of one thread, all sides with the same allocator settings. The floor is the time that the
multiplications of our side would take at the rate of a large matrix product, measured in the same process.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from bench.data.catalog import load_dataset, load_reviews
from bench.efficiency import keep_freed_memory
from bench.explanations import make_explanations
from bench.models import Context, Pairs, Training
from bench.protocols import PROTOCOLS
from bench.runs.execute import training_data
from bench.splits import make_split
from benchmarks.measure import Costs, figures, gigaflops
from engine.randomness import seeded
from pod import kernels
from pod.backbone import build_backbone
from pod.batches import Batch, Examples, Shape, make_batch
from pod.building import build
from pod.network import PodNetwork
from pod.samples import Drawing, Sampler
from pod.t5 import T5Backbone
from pod.variants import PodSettings

BATCH, VECTORS, RATE = 64, 3, 5e-4
BAR, PREPARATION_BAR, TOLERANCE = 2.0, 0.02, 1e-4
WAYS = ("padded", "packed", "torch's products")


@dataclass(frozen=True)
class Kind:
    """vocabulary: rows, 0: those that the data needs. rounds: of --rounds; steps: in each, one after the other."""

    backbone: str
    vocabulary: int
    rounds: int
    steps: int


KINDS = {"small": Kind("scratch:small", 32128, 5, 1), "tiny": Kind("scratch:mini", 0, 9, 5)}


def material(data_dir: Path | None) -> Training:
    """Training data with sequences and sentences."""
    sequences, texts = ("beauty", "musical") if data_dir else ("demo", "demo")
    training = training_data(
        make_split(load_dataset(sequences, data_dir, offline=True)), ("sequential",), PROTOCOLS["sound"]
    )
    written = make_explanations(
        load_reviews(texts, data_dir, offline=True), load_dataset(texts, data_dir, offline=True)
    )
    n = min(len(written), len(training.sequences.values))
    pairs = Pairs(training.sequences.row_of[:n], training.sequences.values[:n], written.texts[:n])
    return replace(training, explanations=(pairs, pairs))


def parts(kind: Kind, training: Training, data_dir: Path | None) -> tuple[PodNetwork, Sampler]:
    """A network from scratch, and what draws its samples."""
    settings = PodSettings(backbone="scratch:16x1", tasks=("explanation", "sequential"))
    with seeded(0, "cpu"):
        built = build(settings, training, Context(0, offline=True, data_dir=data_dir), VECTORS)
        backbone = build_backbone(kind.backbone, kind.vocabulary or built.renderer.size)
        network = PodNetwork(T5Backbone(backbone.network), VECTORS)
    drawing = Drawing("packed", {"explanation": BATCH, "sequential": BATCH}, BATCH)
    return network, Sampler(training, built.renderer, built.templates, drawing, 0)


class Padded(nn.Module):
    """The same network by the modules of transformers."""

    def __init__(self, network: PodNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a padded batch."""
        n, (side,) = len(batch.order), batch.inputs.rectangles
        mask = batch.weights.new_ones(n, side.width) if side.real is None else side.real.float()
        logits = self.network.backbone.network(
            inputs_embeds=self.network.embed(batch).view(n, side.width, -1),
            attention_mask=mask,
            decoder_input_ids=batch.shifted.view(n, -1),
            use_cache=False,
        ).logits
        losses = functional.cross_entropy(logits.flatten(0, 1), batch.targets, reduction="none")
        return torch.dot(losses, batch.weights)


class Side:
    """One way of training, with weights and an optimiser of its own."""

    def __init__(self, way: str, network: PodNetwork) -> None:
        self.shape = Shape(VECTORS, packed=way != "padded")
        # What a step runs in.
        self.products: Callable[[], AbstractContextManager[Any]] = (
            without_onednn if way == "torch's products" else nullcontext
        )
        network = deepcopy(network)
        learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.network: nn.Module
        if way == "padded":
            self.network = Padded(network)
            self._optimizer = torch.optim.AdamW(learnt, RATE)
        else:
            self.network = Packed(network)
            self._optimizer = torch.optim.AdamW(learnt, RATE, fused=True)

    def loss(self, examples: Examples) -> Tensor:
        """The loss of a step's samples."""
        return self.network(make_batch(examples, self.shape, "cpu"))

    def step(self, examples: Examples) -> None:
        """One update."""
        self._optimizer.zero_grad()
        self.loss(examples).backward()
        self._optimizer.step()

    def train(self, steps: list[Examples]) -> None:
        """An update for each."""
        self.network.train()
        with self.products():
            for examples in steps:
                self.step(examples)


class Packed(nn.Module):
    """The network's own way, by the name of the other's."""

    def __init__(self, network: PodNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Batch) -> Tensor:
        """The loss of a batch."""
        return self.network(batch, masked=True)


@contextmanager
def without_onednn() -> Iterator[None]:
    """Products as torch makes them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch mentions graphics cards
        with torch.backends.mkldnn.flags(enabled=False):
            yield


def measure(name: str, rounds: int, data_dir: Path | None) -> dict[str, Any]:
    """All ways by turns, in this process."""
    kind = KINDS[name]
    torch.set_num_threads(1)
    keep_freed_memory()
    network, sampler = parts(kind, material(data_dir), data_dir)
    sides = {way: Side(way, network) for way in WAYS}
    first = sampler.step(0, 0)
    losses = losses_of(sides, first)
    steps = iter(range(sampler.steps))
    costs = {way: Costs() for way in WAYS}
    counter = Counter(network)
    rates: dict[str, list[float]] = {"torch": [], "oneDNN": []}
    lengths: list[Batch] = []
    # A first round makes memory and kernels ready.
    for side in sides.values():
        side.train([sampler.step(0, next(steps)) for _ in range(kind.steps)])
    for _ in range(rounds):
        samples = [sampler.step(0, next(steps)) for _ in range(kind.steps)]
        counter.count(samples)
        for way, side in sides.items():
            costs[way].run(lambda side=side, samples=samples: side.train(samples), kind.steps)
        rates["torch"].append(gigaflops())
        rates["oneDNN"].append(gigaflops(kernels._product))
        lengths += [make_batch(part, Shape(VECTORS, packed=False), "cpu") for part in samples]
    return {
        "vocabulary": network.backbone.network.config.vocab_size,
        "samples": float(np.mean([len(batch.order) for batch in lengths])),
        "padding": {
            "inputs": float(np.mean([batch.inputs.padding for batch in lengths])),
            "targets": float(np.mean([batch.outputs.padding for batch in lengths if batch.outputs])),
        },
        "losses": losses,
        "operations": counter.found,
        "gigaflops": {library: median(found) for library, found in rates.items()},
        "preparation": asdict(preparation(sampler, sides["packed"].shape)),
        "costs": {way: asdict(cost) for way, cost in costs.items()},
    }


def losses_of(sides: dict[str, Side], examples: Examples) -> dict[str, float]:
    """Every side's loss of the same samples, dropout off."""
    found = {}
    for way, side in sides.items():
        side.network.eval()
        with torch.no_grad(), side.products():
            found[way] = float(side.loss(examples))
    return found


class Counter:
    """Counts the floating-point operations of multiplications, forward and backward, without doing any."""

    def __init__(self, network: PodNetwork) -> None:
        self._network = deepcopy(network).to("meta")
        self.found: dict[str, list[float]] = {"padded": [], "packed": []}

    def count(self, steps: list[Examples]) -> None:
        """Those of a round, a step."""
        for way, found in self.found.items():
            # transformers multiplies as we do on padded batches.
            shape = Shape(VECTORS, packed=way == "packed")
            with FlopCounterMode(display=False) as counter:
                for examples in steps:
                    self._network(make_batch(examples, shape, "meta"), masked=True).backward()
            found.append(counter.get_total_flops() / len(steps))


def preparation(sampler: Sampler, shape: Shape, steps: int = 40) -> Costs:
    """What drawing, writing and laying out a step's samples costs."""
    costs = Costs()
    for number in range(sampler.steps - steps, sampler.steps):
        costs.run(lambda number=number: make_batch(sampler.step(0, number), shape, "cpu"))
    return costs


def report(name: str, found: dict[str, Any]) -> bool:
    """Print a shape's figures; whether its bars are met."""
    cpu = {way: median(cost["cpu"]) for way, cost in found["costs"].items()}
    samples, ours = found["samples"], cpu["packed"]
    print(f"\n{name}: {KINDS[name].backbone}, {found['vocabulary']:,} rows, {samples:.0f} samples a step", end="; ")
    print(f"padding {found['padding']['inputs']:.0%} of inputs, {found['padding']['targets']:.0%} of targets")
    for way, cost in found["costs"].items():
        low, _, high = quantiles(cost["cpu"], n=4) if len(cost["cpu"]) > 1 else cost["cpu"] * 3
        wall = median(cost["wall"])
        print(
            f"  {way:<18}{cpu[way]:>9.4f} CPU-s a step (half in {low:.4f} to {high:.4f}){samples / cpu[way]:>9.1f}"
            f" samples/CPU-s{wall:>9.4f} s wall{samples / wall:>9.1f} samples/s"
        )
    ratio = cpu["padded"] / ours
    spread = [theirs / mine for theirs, mine in zip(*(found["costs"][way]["cpu"] for way in WAYS[:2]), strict=True)]
    worst = max(abs(loss - found["losses"]["padded"]) for loss in found["losses"].values())
    print(f"  padded / packed {ratio:.2f} (bar {BAR:g}), rounds {min(spread):.2f} to {max(spread):.2f}", end="; ")
    print(f"without oneDNN {cpu['padded'] / cpu[WAYS[2]]:.2f}; losses differ by {worst:.1e} (bar {TOLERANCE:.0e})")
    for way, library in (("padded", "torch"), ("packed", "oneDNN"), ("torch's products", "torch")):
        rate = found["gigaflops"][library]
        work = found["operations"]["padded" if way == "padded" else "packed"]
        floors = [operations / rate / 1e9 for operations in work]
        share = median(floor / cost for floor, cost in zip(floors, found["costs"][way]["cpu"], strict=True))
        print(
            f"  {way}: {median(work) / 1e9:.2f} GFLOP a step at {library}'s {rate:.0f} GFLOP/s,"
            f" floor {median(floors):.4f} s, {share:.0%} of it reached"
        )
    prepared = median(found["preparation"]["cpu"])
    bar = f" (bar {PREPARATION_BAR:.0%})" if name == "small" else ""
    print(f"  preparing the data: {1000 * prepared:.2f} ms, {prepared / ours:.2%} of a packed step{bar}")
    met = ratio >= BAR and worst <= TOLERANCE and (name != "small" or prepared <= PREPARATION_BAR * ours)
    print("  met" if met else "  MISSED", flush=True)
    return met


def main() -> int:
    """Print every shape's costs and verdict; the number of shapes that miss a bar is the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", choices=[[], *KINDS], metavar="SHAPE", help=", ".join(KINDS))
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--rounds", type=int, help="by default 5 of small, 9 of tiny")
    parser.add_argument("--quick", action="store_true", help="tiny alone, two rounds")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure, args.rounds, args.data_dir)))
        return 0
    missed = 0
    for name in args.shapes or (["tiny"] if args.quick else KINDS):
        rounds = args.rounds or (2 if args.quick else KINDS[name].rounds)
        place = ["--data-dir", str(args.data_dir)] if args.data_dir else []
        missed += not report(name, figures("benchmarks.training", "--measure", name, "--rounds", str(rounds), *place))
    return missed


if __name__ == "__main__":
    sys.exit(main())
