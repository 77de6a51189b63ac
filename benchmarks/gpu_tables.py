"""Tables 5 and 6 in small, on the device of `benchmarks.gpu_check`."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any, Literal
from unittest import mock

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.efficiency import peak_memory_mib
from bench.models import Context
from benchmarks import decoding
from benchmarks.gpu_parity import SIZES, Killing, compared, fresh, learner_of, listed, moved
from benchmarks.gpu_world import REHEARSAL, NumberPod, SportsPod, World
from pod.batches import Examples, Shape, make_batch
from pod.beam import EXPLANATION, RANKING, beam_search
from pod.building import Built
from pod.constrained import score_candidates, search_items
from pod.decoder import Decoder, Memory
from pod.layout import padded_layout
from pod.plain import plain_search
from pod.t5 import T5Backbone
from pod.variants import PodSettings

STRATEGIES = ("sample-mixed", "task-alternated", "packed")
KINDS = {"fp32": torch.float32, "bf16": torch.bfloat16}
SPREAD, TURNS = 0.2, 3
# Input tokens of a batch: what the suite takes, and more, which a large card has room for. Users at most.
BUDGETS, MOST = (16384, 131072), 512


@dataclass
class Spent:
    """What rounds of a work took: wall, device and CPU seconds of each, and the peak of memory in bytes.

    On a CPU the device's seconds are the wall's, and the peak is the process's.
    """

    wall: list[float]
    device: list[float]
    cpu: list[float]
    peak: int

    @property
    def spread(self) -> float:
        """Largest less smallest wall seconds, by the median."""
        return (max(self.wall) - min(self.wall)) / median(self.wall)

    def figures(self, units: int) -> dict[str, Any]:
        """Columns of a table. units: how many steps a round has."""
        return {
            "ms": 1000 * median(self.wall) / units,
            "device ms": 1000 * median(self.device) / units,
            "cpu ms": 1000 * median(self.cpu) / units,
            "peak GiB": self.peak / 2**30,
            "rounds": len(self.wall),
            "spread": f"{self.spread:.0%}{' *' if self.spread > SPREAD else ''}",
        }


def timed(work: Callable[[], Any], device: str, rounds: int, left: Callable[[], float] | None = None) -> Spent:
    """Time rounds of a work by the wall's clock, the device's events and the CPU's clock, after a round that warms up.

    left: seconds that remain; with less than 20 of them one round has to do.
    """
    on_device = torch.device(device).type == "cuda"
    synchronize: Callable[[], None] = torch.cuda.synchronize if on_device else (lambda: None)
    work()
    synchronize()
    if on_device:
        torch.cuda.reset_peak_memory_stats()
    spent = Spent([], [], [], 0)
    while len(spent.wall) < rounds and not (spent.wall and left is not None and left() < 20):
        events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if on_device else []
        wall, cpu = time.perf_counter(), time.process_time()
        for event in events[:1]:
            event.record()
        work()
        for event in events[1:]:
            event.record()
        synchronize()
        spent.wall.append(time.perf_counter() - wall)
        spent.cpu.append(time.process_time() - cpu)
        spent.device.append(events[0].elapsed_time(events[1]) / 1000 if events else spent.wall[-1])
    spent.peak = torch.cuda.max_memory_allocated() if on_device else int(peak_memory_mib() * 2**20)
    return spent


def peaks(world: World) -> None:
    """The rate of a large matrix product in each kind of numbers: what shares of the card's peak are shares of."""
    size = world.scale.matrix
    for name, kind in KINDS.items():
        generator = torch.Generator(world.device).manual_seed(0)
        left, right = (torch.randn(size, size, generator=generator, device=world.device).to(kind) for _ in range(2))
        repeats = 10 if world.scale is not REHEARSAL else 1

        def products(left: torch.Tensor = left, right: torch.Tensor = right, repeats: int = repeats) -> None:
            for _ in range(repeats):
                _ = left @ right

        spent = timed(products, world.device, 5)
        rate = 2 * size**3 * repeats / median(spent.device)
        world.facts[name] = rate
        world.report.row(
            "matrix product", numbers=name, side=size, **{"TFLOP/s": rate / 1e12}, **spent.figures(repeats)
        )


def training(world: World, size: str, numbers: Literal["fp32", "bf16"]) -> None:
    """Table 5: steps of the three strategies at a size, in a kind of numbers."""
    name = f"scratch:{size}"
    kind = NumberPod if world.scale is REHEARSAL else SportsPod
    settings = PodSettings(
        backbone=name, batch_size=world.scale.batch, whole_word_scale=0.02, precision=numbers, dropout=0.1
    )
    many_threads(world)
    _, built = fresh(settings, world.training, "cpu", kind)
    for strategy in STRATEGIES:
        try:
            row = trained(world, kind(replace(settings, strategy=strategy)), built, f"{size} {strategy}")
        finally:
            emptied(world.device)
        world.report.row("Table 5, training", size=size, numbers=numbers, strategy=strategy, **row)


def trained(world: World, model: NumberPod, built: Built, name: str) -> dict[str, Any]:
    """The row of a strategy: every round does the same steps, one of each task where tasks alternate."""
    progress, data = Killing(), world.training
    own = replace(built, network=deepcopy(built.network).to(world.device).train())
    learner = learner_of(model, own, data, Context(0, world.device, progress=progress))
    sampler, shape = model._sampler(built, data, 0), model._shape(data)
    steps = [(sampler.step(0, number), sampler.scale(number)) for number in range(TURNS)]
    spent = timed(lambda: [learner._step(*step) for step in steps], world.device, world.scale.rounds, _left(world))
    batches = [make_batch(examples, shape, "cpu") for examples, _ in steps]
    sides = [side for batch in batches for side in (batch.inputs, batch.outputs) if side is not None]
    tokens, laid = sum(int(side.lengths.sum()) for side in sides), sum(side.tokens for side in sides)
    samples, seconds = sum(len(examples) for examples, _ in steps), median(spent.wall)
    work = operations(world, name, built, [examples for examples, _ in steps], shape)
    rate = world.facts.get(model.settings.precision)
    return {
        "samples/s": samples / seconds,
        "tokens/s": tokens / seconds,
        "padding": f"{1 - tokens / laid:.0%}",
        **spent.figures(TURNS),
        "parts": learner.standing.parts,
        "TFLOP a step": work / TURNS / 1e12,
        "share of peak": work / seconds / rate if rate else float("nan"),
    }


def operations(world: World, name: str, built: Built, steps: list[Examples], shape: Shape) -> float:
    """Floating-point operations of the steps' multiplications, forward and backward, counted without doing any."""
    if name not in world.facts:
        network = deepcopy(built.network).to("meta").train()
        with FlopCounterMode(display=False) as counter:
            for examples in steps:
                network(make_batch(examples, shape, "meta"), masked=True).backward()
        world.facts[name] = float(counter.get_total_flops())
    return world.facts[name]


def inference(world: World, size: str, numbers: str) -> None:
    """Table 6: the authors' way of decoding against ours, each task, at a size, in a kind of numbers."""
    many_threads(world)
    for task in ("sequential", "topn", "explanation"):
        with mock.patch.dict(decoding.SIZES, SIZES):
            network: Any = decoding.build_network(size, task, "eager")
        network.to(world.device, KINDS[numbers])
        try:
            _inference(world, network, task, {"size": size, "numbers": numbers, "task": task})
        finally:
            del network
            emptied(world.device)


def _inference(world: World, network: Any, task: str, row: dict[str, str]) -> None:
    device, scale, report = world.device, world.scale, world.report
    length, backbone, decoder = scale.tokens[task], T5Backbone(network), Decoder(network)
    generator = torch.Generator().manual_seed(1)
    most = scale.users_asked if scale is REHEARSAL else min(MOST, BUDGETS[-1] // length)
    inputs = torch.randn(most, length, network.config.d_model, generator=generator).to(device, network.dtype)
    search, groups = (EXPLANATION, 3) if task == "explanation" else (RANKING, 1)

    def plainly(users: int) -> Any:
        some = inputs[:users]
        real = torch.ones(some.shape[:2], dtype=torch.bool, device=device)
        return plain_search(backbone, some, real, search, groups=groups)

    @torch.no_grad()
    def asked(users: int) -> tuple[Decoder, Memory]:
        layout = padded_layout(np.full(users, length), length, device)
        states = backbone.encode(inputs[:users].flatten(0, 1), layout)
        return decoder, decoder.remember(states.view(users, length, -1))

    ways: dict[str, tuple[Callable[[int], Any], int]] = {"authors": (plainly, scale.users_asked)}
    for budget in BUDGETS:
        ways[f"ours, {budget:,} tokens"] = (lambda n: beam_search(*asked(n), search), min(most, budget // length))
    if task != "explanation":
        ways |= _constrained(world, asked, task, min(most, BUDGETS[0] // length))
    first = 0.0
    for way, (work, users) in ways.items():
        users, spent = halving(world, work, users)
        rate = users / median(spent.wall)
        first = first or rate
        report.row(
            "Table 6, inference",
            **row,
            way=way,
            users=users,
            **{"users/s": rate},
            ratio=rate / first,
            **spent.figures(1),
        )
    if row["numbers"] == "fp32":
        users = min(scale.users_asked, 8)
        theirs = plainly(users)[0]
        mine = beam_search(*asked(users), search)
        lists = listed(mine.ids, mine.scores)
        other = [[ids for _, ids in user] for user in theirs], [[score for score, _ in user] for user in theirs]
        name = f"the authors' lists, {row['size']}, {task}"
        compared(world, name, lists, other)


def _constrained(
    world: World, asked: Callable[[int], tuple[Decoder, Memory]], task: str, users: int
) -> dict[str, tuple[Callable[[int], Any], int]]:
    """Ours, held to items: what the sound protocol asks."""
    trie = moved(decoding.catalogue(), world.device)
    draw = np.random.default_rng(2)
    picked = [draw.choice(len(trie), decoding.CANDIDATES, replace=False) for _ in range(users)]
    candidates = torch.from_numpy(np.stack(picked)).to(world.device)
    if task == "sequential":
        return {"ours, items": (lambda n: search_items(*asked(n), RANKING, trie), users)}
    return {"ours, all candidates": (lambda n: score_candidates(*asked(n), trie, candidates[:n]), users)}


def halving(world: World, work: Callable[[int], Any], users: int) -> tuple[int, Spent]:
    """Time a work on so many users, or on half of them, and so on, where memory does not suffice."""
    while True:
        try:
            return users, timed(partial(work, users), world.device, min(3, world.scale.rounds), _left(world))
        except torch.OutOfMemoryError:
            if users == 1:
                raise
        users //= 2
        emptied(world.device)
        world.report.say(f"out of memory: asking {users} users at once")


def emptied(device: str) -> None:
    """Give back what nothing holds any more."""
    gc.collect()
    if torch.device(device).type == "cuda":
        torch.cuda.empty_cache()


def many_threads(world: World) -> None:
    """Build networks with every core where the device does the rest: fits set the number of threads to one."""
    if torch.device(world.device).type == "cuda":
        torch.set_num_threads(os.cpu_count() or 1)


def _left(world: World) -> Callable[[], float]:
    return lambda: world.report.left
