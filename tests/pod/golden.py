"""The golden model and cases of the authors' own code, ready to decode (../shared/golden/README.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

TASKS = ("sequential", "topn", "explanation", "explanation_discrete_prompt")


@dataclass(frozen=True, eq=False)
class Golden:
    """network: the authors' T5 in evaluation mode. prompts: (3, K, d) by task id. words: (512, d)."""

    network: T5ForConditionalGeneration
    prompts: Tensor
    words: Tensor
    cases: dict[str, dict[str, Any]]

    def inputs(self, task: str) -> tuple[Tensor, Tensor]:
        """(n, K + L, d) embeddings and their (n, K + L) bool mask, as the authors put them together."""
        case = self.cases[task]
        ids, words = torch.tensor(case["input_ids"]), torch.tensor(case["whole_word_ids"])
        text = self.network.get_input_embeddings()(ids) + self.words[words]
        prompt = self.prompts[case["task_id"]].expand(len(ids), -1, -1)
        mask = torch.cat([torch.ones(prompt.shape[:2], dtype=torch.bool), ids != 0], 1)
        return torch.cat([prompt, text], 1), mask

    @torch.no_grad()
    def encoded(self, task: str) -> tuple[Tensor, Tensor]:
        """The encoder's (n, K + L, d) output and the mask."""
        embeddings, mask = self.inputs(task)
        return self.network.encoder(inputs_embeds=embeddings, attention_mask=mask.long()).last_hidden_state, mask


def load_golden(shared: Path, sharp: bool = False) -> Golden:
    """The golden model with cases.json, or with cases_sharp.json and the weights made sharp as its README says."""
    folder = shared / "golden"
    facts = json.loads((folder / "config.json").read_text())
    prompts, tasks = facts.pop("prompts_per_task"), facts.pop("tasks")
    weights = load_file(folder / "model.safetensors")
    prompt = weights.pop("prompt_embeddings.weight").view(len(tasks), prompts, -1)
    words = weights.pop("whole_word_embeddings.weight")
    if sharp:
        for name, weight in weights.items():
            if name.startswith("decoder.") and name.endswith("EncDecAttention.o.weight"):
                weight *= 12
    network = T5ForConditionalGeneration(T5Config(**facts)).eval()
    missing, unknown = network.load_state_dict(weights, strict=False)
    tied = {"lm_head.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    if unknown or set(missing) - tied:
        raise ValueError(f"golden weights do not fit: {unknown} {missing}")
    network.tie_weights()
    cases = json.loads((folder / ("cases_sharp.json" if sharp else "cases.json")).read_text())
    return Golden(network, prompt, words, cases)


def stripped(row: list[int]) -> tuple[int, ...]:
    """Ids without the padding behind EOS."""
    return tuple(row[: row.index(1) + 1] if 1 in row else row)


def assert_same_lists(found: list[list[tuple[int, ...]]], scores: list[list[float]], expected: Any) -> None:
    """Ordered lists of ids are equal, but that neighbours closer than 2e-5 in score may swap."""
    for row, (ours, ranked, theirs) in enumerate(zip(found, scores, expected, strict=True)):
        theirs = [stripped(each) for each in theirs]
        for place, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            if mine != other:
                swapped = ours.index(other) if other in ours else len(ours) - 1
                apart = abs(ranked[place] - ranked[swapped])
                assert apart < 2e-5, f"row {row}, place {place}: {mine}, not {other} ({apart:.1e} apart)"
