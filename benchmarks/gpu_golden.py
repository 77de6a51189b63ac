"""The authors' own losses and lists on a device, where `benchmarks.gpu_check` is given the golden files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from bench.ragged import Ragged
from benchmarks.gpu_parity import listed, parted
from benchmarks.gpu_world import World
from pod.answering import padded_states
from pod.batches import Examples, Shape, make_batch
from pod.beam import EXPLANATION, RANKING, beam_search
from pod.decoder import Decoder
from pod.network import PodNetwork
from pod.t5 import T5Backbone

CLOSE = 5e-5


def golden(world: World, folder: Path) -> None:
    """Losses and lists of the authors' own code, by the golden files of a folder."""
    facts = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    facts.pop("tasks")
    vectors = facts.pop("prompts_per_task")
    for sharp in (False, True):
        weights = load_file(folder / "model.safetensors")
        network = _golden_network(facts, weights, vectors, sharp).to(world.device)
        cases = json.loads((folder / ("cases_sharp.json" if sharp else "cases.json")).read_text(encoding="utf-8"))
        for task, case in cases.items():
            _golden_case(world, network, f"golden {task}{', sharp' if sharp else ''}", case)


def _golden_network(facts: dict[str, Any], weights: dict[str, Tensor], vectors: int, sharp: bool) -> PodNetwork:
    prompts, words = (weights.pop(f"{name}_embeddings.weight") for name in ("prompt", "whole_word"))
    if sharp:
        names = [n for n in weights if n.startswith("decoder.") and n.endswith("EncDecAttention.o.weight")]
        weights |= {name: weights[name] * 12 for name in names}
    network = T5ForConditionalGeneration(T5Config(**facts)).eval()
    network.load_state_dict(weights, strict=False)
    network.tie_weights()
    found = PodNetwork(T5Backbone(network), vectors).eval()
    found.prompt_embeddings.weight.data, found.whole_word_embeddings.weight.data = prompts, words
    return found


def _golden_case(world: World, network: PodNetwork, name: str, case: dict[str, Any]) -> None:
    def rows(key: str, like: str | None = None) -> Sequence[list[int]]:
        kept = [sum(token != 0 for token in row) for row in case[like or key]]
        return [row[:length] for row, length in zip(case[key], kept, strict=True)]

    ids, words = rows("input_ids"), rows("whole_word_ids", "input_ids")
    tables = [Ragged.from_rows(each) for each in (ids, words, rows("target_ids"))]
    examples = Examples(np.full(len(ids), case["task_id"]), *tables)
    batch = make_batch(examples, Shape(network.vectors, packed=False, averaging="padded-token"), world.device)
    with torch.no_grad():
        off = abs(float(network(batch, masked=False)) - case["loss_padding_counted"])
        states, _ = padded_states(network.encode(batch), batch)
    world.report.check(f"{name}, loss", off < CLOSE, f"off by {off:.1e}", off=off)
    decoder = Decoder(network.backbone.network)
    search = EXPLANATION if case["task_id"] == 0 else RANKING
    found = beam_search(decoder, decoder.remember(states), search)
    theirs = listed(torch.tensor(_even(case["beam_ids"])), torch.zeros(len(ids), found.scores.shape[1]))
    mine = listed(found.ids, found.scores)
    count = parted(mine, theirs)
    world.report.check(f"{name}, lists", count == 0, f"{len(ids) - count} of {len(ids)} the same", parted=count)


def _even(lists: Any) -> list[list[list[int]]]:
    """The golden lists, one hypothesis or several a user, all of one width."""
    users = [user if isinstance(user[0], list) else [user] for user in lists]
    width = max(len(row) for user in users for row in user)
    return [[row + [0] * (width - len(row)) for row in user] for user in users]
