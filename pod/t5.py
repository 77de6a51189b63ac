"""The backbone behind its seam: T5's parameters from `transformers`, our own way through them.

The forward pass works on flat arrays (see `pod.layout`), so that one code serves packed and padded batches. It equals
`transformers`' own forward on padded batches (tests/pod/test_t5.py) and the authors' losses (../golden, tests).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import T5ForConditionalGeneration

from pod.layout import Layout, Rectangle


class T5Backbone(nn.Module):
    """What POD needs of a language model: embed, encode, decode, score the vocabulary.

    network: any T5-family model with a language-model head; its parameters are read, its forward pass is not used.
    A decoder-only backbone has to offer the same five methods.
    """

    def __init__(self, network: T5ForConditionalGeneration) -> None:
        super().__init__()
        self.network: Any = network

    @property
    def width(self) -> int:
        """d, the size of an embedding."""
        return int(self.network.config.d_model)

    def embed(self, ids: Tensor) -> Tensor:
        """(tokens,) ids -> (tokens, d)."""
        return self.network.shared(ids)

    def encode(self, embedded: Tensor, layout: Layout) -> Tensor:
        """(tokens, d) embedded inputs -> (tokens, d); no row sees another, nor its own padding."""
        stack = self.network.encoder
        states = stack.dropout(embedded)
        biases = _self_biases(stack.block[0].layer[0].SelfAttention, layout, causal=False)
        for block in stack.block:
            states = _self_attention(block.layer[0], states, layout, biases)
            states = block.layer[-1](states)
        return stack.dropout(stack.final_layer_norm(states))

    def decode(self, ids: Tensor, layout: Layout, encoded: Tensor, inputs: Layout, *, masked: bool) -> Tensor:
        """Teacher forcing: (tokens,) ids, each row shifted right -> (tokens, d) hidden states.

        encoded: what `encode` gave for the rows' inputs, which lie as `inputs` says.
        masked:  cross-attention does not see padding of the inputs; False as in the released code (PUBLISHED.md, 4).
        """
        stack = self.network.decoder
        states = stack.dropout(self.embed(ids))
        biases = _self_biases(stack.block[0].layer[0].SelfAttention, layout, causal=True)
        masks = [_mask(side.real, states.dtype) if masked else None for side in inputs.rectangles]
        for block in stack.block:
            states = _self_attention(block.layer[0], states, layout, biases)
            states = _cross_attention(block.layer[1], states, layout, encoded, inputs, masks)
            states = block.layer[-1](states)
        return stack.dropout(stack.final_layer_norm(states))

    def head(self, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
        """(tokens, d) hidden states -> (tokens, vocabulary) logits, or only those of the given vocabulary rows."""
        weight, config = self.network.lm_head.weight, self.network.config
        if getattr(config, "scale_decoder_outputs", config.tie_word_embeddings):
            hidden = hidden * self.width**-0.5
        return functional.linear(hidden, weight if rows is None else weight[rows])


def _heads(cells: Tensor, attention: Any, parts: int) -> Sequence[Tensor]:
    """(n, width, parts * heads * d_kv) -> `parts` tensors (n, heads, width, d_kv)."""
    n, width, _ = cells.shape
    split = cells.view(n, width, parts, attention.n_heads, attention.key_value_proj_dim)
    return split.permute(2, 0, 3, 1, 4).unbind(0)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, dropout: float) -> Tensor:
    """(n, heads, width, d_kv) three times -> (n, width, heads * d_kv). T5 does not scale the products."""
    scores = queries @ keys.transpose(2, 3)
    if bias is not None:
        scores = scores + bias
    weights = functional.dropout(scores.float().softmax(-1).type_as(scores), dropout, dropout > 0)
    mixed = (weights @ values).transpose(1, 2)
    return mixed.reshape(mixed.shape[0], mixed.shape[1], -1)


def _mask(real: Tensor | None, kind: torch.dtype) -> Tensor | None:
    """(n, width) bool -> (n, 1, 1, width), 0 where real and the smallest number elsewhere."""
    if real is None:
        return None
    low = torch.finfo(kind).min
    return torch.zeros(real.shape, dtype=kind, device=real.device).masked_fill_(~real, low)[:, None, None, :]


def _self_biases(attention: Any, layout: Layout, *, causal: bool) -> list[Tensor]:
    """For each rectangle the relative position bias with its mask, broadcastable to (n, heads, width, width)."""
    widest = max(rectangle.width for rectangle in layout.rectangles)
    whole = attention.compute_bias(widest, widest)
    if causal:
        future = torch.ones(widest, widest, dtype=torch.bool, device=whole.device).triu(1)
        whole = whole.masked_fill(future, torch.finfo(whole.dtype).min)
    return [_self_bias(whole, rectangle, causal) for rectangle in layout.rectangles]


def _self_bias(whole: Tensor, rectangle: Rectangle, causal: bool) -> Tensor:
    bias = whole[:, :, : rectangle.width, : rectangle.width]
    # Real tokens come before padding, so that in causal attention none of them sees any.
    mask = None if causal else _mask(rectangle.real, whole.dtype)
    return bias if mask is None else bias + mask


def _self_attention(layer: Any, states: Tensor, layout: Layout, biases: Sequence[Tensor]) -> Tensor:
    attention = layer.SelfAttention
    weight = torch.cat([attention.q.weight, attention.k.weight, attention.v.weight])
    projected = functional.linear(layer.layer_norm(states), weight)
    dropout = attention.dropout if layer.training else 0.0
    mixed = []
    for rectangle, bias in zip(layout.rectangles, biases, strict=True):
        queries, keys, values = _heads(rectangle.take(projected), attention, 3)
        mixed.append(rectangle.put_back(_attend(queries, keys, values, bias, dropout)))
    return states + layer.dropout(attention.o(_joined(mixed)))


def _cross_attention(
    layer: Any, states: Tensor, layout: Layout, encoded: Tensor, inputs: Layout, masks: Sequence[Tensor | None]
) -> Tensor:
    attention = layer.EncDecAttention
    asked = attention.q(layer.layer_norm(states))
    projected = functional.linear(encoded, torch.cat([attention.k.weight, attention.v.weight]))
    dropout = attention.dropout if layer.training else 0.0
    mixed = []
    for rectangle, memory, mask in zip(layout.rectangles, inputs.rectangles, masks, strict=True):
        (queries,) = _heads(rectangle.take(asked), attention, 1)
        keys, values = _heads(memory.take(projected), attention, 2)
        mixed.append(rectangle.put_back(_attend(queries, keys, values, mask, dropout)))
    return states + layer.dropout(attention.o(_joined(mixed)))


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
