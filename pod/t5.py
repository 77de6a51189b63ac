"""The backbone behind its seam: T5's parameters from `transformers`, our own way through them.

The forward pass works on flat arrays (see `pod.layout`), so that one code serves packed and padded batches. It equals
`transformers`' own forward on padded batches (tests/pod/test_network.py) and the authors' losses (../golden, tests).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import T5ForConditionalGeneration

from pod.kernels import dropout, linear, weighted_cross_entropy
from pod.layout import Layout, Rectangle

# Keys and values of each rectangle of the inputs, in one layer of cross-attention.
Memory = list[tuple[Tensor, Tensor]]


class T5Backbone(nn.Module):
    """What POD needs of a language model: embed, encode, decode, score the vocabulary, and the loss of that.

    network: any T5-family model with a language-model head; its parameters are read, its forward pass is not used.
    A decoder-only backbone has to offer the same six methods.
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
        states = _dropped(stack.dropout, embedded)
        biases = _self_biases(stack.block[0].layer[0].SelfAttention, layout, causal=False)
        for block in stack.block:
            states = _self_attention(block.layer[0], states, layout, biases)
            states = _feed_forward(block.layer[-1], states)
        return _dropped(stack.dropout, stack.final_layer_norm(states))

    def decode(self, embedded: Tensor, layout: Layout, encoded: Tensor, inputs: Layout, *, masked: bool) -> Tensor:
        """Teacher forcing: (tokens, d) embedded targets, each row shifted right -> (tokens, d) hidden states.

        encoded: what `encode` gave for the rows' inputs, which lie as `inputs` says.
        masked:  cross-attention does not see padding of the inputs; False as in the released code (PUBLISHED.md, 4).
        Raises ValueError where packed inputs are not to be masked: they have no padding that could be seen.
        """
        if not masked and any(side.spread is not None for side in inputs.rectangles):
            raise ValueError("only padded inputs can be decoded without masks")
        stack = self.network.decoder
        states = _dropped(stack.dropout, embedded)
        biases = _self_biases(stack.block[0].layer[0].SelfAttention, layout, causal=True)
        masks = [_mask(side.real, states.dtype) if masked else None for side in inputs.rectangles]
        memories = _memories([block.layer[1].EncDecAttention for block in stack.block], encoded, inputs)
        for block, memory in zip(stack.block, memories, strict=True):
            states = _self_attention(block.layer[0], states, layout, biases)
            states = _cross_attention(block.layer[1], states, layout, memory, masks)
            states = _feed_forward(block.layer[-1], states)
        return _dropped(stack.dropout, stack.final_layer_norm(states))

    def head(self, hidden: Tensor, rows: Tensor | None = None) -> Tensor:
        """(tokens, d) hidden states -> (tokens, vocabulary) logits, or only those of the given vocabulary rows."""
        weight = self.network.lm_head.weight
        return functional.linear(self._scaled(hidden), weight if rows is None else weight[rows])

    def loss(self, hidden: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The sum of (tokens,) targets' negative log-likelihoods by their weights, without all logits at once."""
        return weighted_cross_entropy(self._scaled(hidden), self.network.lm_head.weight, targets, weights)

    def _scaled(self, hidden: Tensor) -> Tensor:
        config = self.network.config
        scaled = getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
        return hidden * self.width**-0.5 if scaled else hidden


def _heads(cells: Tensor, attention: Any, parts: int) -> Sequence[Tensor]:
    """(n, width, parts * heads * d_kv) -> `parts` tensors (n, heads, width, d_kv)."""
    n, width, _ = cells.shape
    split = cells.view(n, width, parts, attention.n_heads, attention.key_value_proj_dim)
    return split.permute(2, 0, 3, 1, 4).unbind(0)


def _attend(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, rate: float) -> Tensor:
    """(n, heads, width, d_kv) three times -> (n, width, heads * d_kv). T5 does not scale the products."""
    if not rate and not torch.is_grad_enabled() and (bias is None or bias.dtype == queries.dtype):
        # Fused where nothing is to be learned: going back through a bias that learns, torch has no fused kernel.
        fused = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
        mixed = fused.transpose(1, 2)
        return mixed.reshape(mixed.shape[0], mixed.shape[1], -1)
    scores = queries @ keys.transpose(2, 3)
    if bias is not None:
        scores = scores + bias
    weights = dropout(scores.float().softmax(-1).type_as(scores), rate, rate > 0)
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
    # It comes with heads innermost, and what is added to it would be laid out like that and copied at each layer.
    whole = attention.compute_bias(widest, widest).contiguous()
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
    cells = layout.cells(linear(layer.layer_norm(states), weight))
    rate = attention.dropout if layer.training else 0.0
    mixed = []
    for rectangle, part, bias in zip(layout.rectangles, cells, biases, strict=True):
        queries, keys, values = _heads(part, attention, 3)
        mixed.append(rectangle.put_back(_attend(queries, keys, values, bias, rate)))
    return states + _dropped(layer.dropout, linear(_joined(mixed), attention.o.weight))


def _memories(layers: Sequence[Any], encoded: Tensor, inputs: Layout) -> list[Memory]:
    """What each layer of cross-attention attends to, made in one go."""
    weight = torch.cat([part for layer in layers for part in (layer.k.weight, layer.v.weight)])
    parts = [_heads(cells, layers[0], 2 * len(layers)) for cells in inputs.cells(linear(encoded, weight))]
    return [[(part[2 * place], part[2 * place + 1]) for part in parts] for place in range(len(layers))]


def _cross_attention(
    layer: Any, states: Tensor, layout: Layout, memory: Memory, masks: Sequence[Tensor | None]
) -> Tensor:
    attention = layer.EncDecAttention
    asked = layout.cells(linear(layer.layer_norm(states), attention.q.weight))
    rate = attention.dropout if layer.training else 0.0
    mixed = []
    for rectangle, part, (keys, values), mask in zip(layout.rectangles, asked, memory, masks, strict=True):
        (queries,) = _heads(part, attention, 1)
        mixed.append(rectangle.put_back(_attend(queries, keys, values, mask, rate)))
    return states + _dropped(layer.dropout, linear(_joined(mixed), attention.o.weight))


def _feed_forward(layer: Any, states: Tensor) -> Tensor:
    dense, normal = layer.DenseReluDense, layer.layer_norm(states)
    if hasattr(dense, "wi_1"):
        inner = dense.act(linear(normal, dense.wi_0.weight)) * linear(normal, dense.wi_1.weight)
    else:
        inner = dense.act(linear(normal, dense.wi.weight))
    return states + _dropped(layer.dropout, linear(_dropped(dense.dropout, inner), dense.wo.weight))


def _dropped(module: Any, values: Tensor) -> Tensor:
    """What a dropout module makes of values, by our own kernel."""
    return dropout(values, module.p, module.training)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
