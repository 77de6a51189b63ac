"""POD's network: continuous prompts and whole-word embeddings on a backbone (POD section 3.2 and 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pod.batches import TASK_NUMBERS, Batch
from pod.t5 import T5Backbone

WHOLE_WORDS = 512
PROMPT_RANGE = 0.1


class PodNetwork(nn.Module):
    """Prompt vectors of each task in front of embedded text, then the backbone.

    vectors:       K, prompt vectors a task; 0: none, as in P5.
    word_scale:    standard deviation of the initial whole-word embeddings; the released code's is 1.
    words_on_prompts: add whole-word embedding 0 to the prompt vectors too, as the paper says and its code does not
                   (PUBLISHED.md, line 6).
    Draws its initial values from torch's default generator; see `engine.randomness.seeded`.
    """

    def __init__(
        self, backbone: T5Backbone, vectors: int, *, word_scale: float = 1.0, words_on_prompts: bool = False
    ) -> None:
        super().__init__()
        self.backbone, self.vectors, self.words_on_prompts = backbone, vectors, words_on_prompts
        self.prompt_embeddings = nn.Embedding(max(1, vectors) * len(TASK_NUMBERS), backbone.width)
        self.whole_word_embeddings = nn.Embedding(WHOLE_WORDS, backbone.width)
        nn.init.uniform_(self.prompt_embeddings.weight, -PROMPT_RANGE, PROMPT_RANGE)
        nn.init.normal_(self.whole_word_embeddings.weight, std=word_scale)
        if not vectors:
            self.prompt_embeddings.weight.requires_grad_(False)

    def embed(self, batch: Batch) -> Tensor:
        """(tokens, d): prompt vectors in their slots, token plus whole-word embeddings elsewhere."""
        return self._completed(self.backbone.embed(batch.ids), batch)

    def _completed(self, embedded: Tensor, batch: Batch) -> Tensor:
        """`embed` of embedded tokens."""
        embedded = embedded + self.whole_word_embeddings(batch.words)
        if not self.vectors:
            return embedded
        prompts = self.prompt_embeddings(batch.prompts)
        if self.words_on_prompts:
            prompts = prompts + self.whole_word_embeddings.weight[0]
        return embedded.index_copy(0, batch.slots, prompts.to(embedded.dtype))

    def encode(self, batch: Batch) -> Tensor:
        """(tokens, d) encoded inputs, laid out as batch.inputs says."""
        return self.backbone.encode(self.embed(batch), batch.inputs)

    def hidden(self, batch: Batch, *, masked: bool) -> Tensor:
        """(target tokens, d) hidden states of the decoder, teacher forced. masked: see `T5Backbone.decode`."""
        if batch.outputs is None:
            raise ValueError("these examples have no targets")
        # One look-up for both sides: the gradient of each is as large as the vocabulary.
        embedded = self.backbone.embed(torch.cat([batch.ids, batch.shifted]))
        inputs, targets = embedded.split([len(batch.ids), len(batch.shifted)])
        encoded = self.backbone.encode(self._completed(inputs, batch), batch.inputs)
        return self.backbone.decode(targets, batch.outputs, encoded, batch.inputs, masked=masked)

    def losses(self, batch: Batch, *, masked: bool) -> Tensor:
        """(target tokens,) negative log-likelihood of each target token, padding targets included."""
        logits = self.backbone.head(self.hidden(batch, masked=masked))
        return functional.cross_entropy(logits.float(), batch.targets, reduction="none")

    def forward(self, batch: Batch, *, masked: bool) -> Tensor:
        """The step's loss, eq. (1): token losses by the batch's weights. masked: see `T5Backbone.decode`."""
        return self.backbone.loss(self.hidden(batch, masked=masked), batch.targets, batch.weights)
