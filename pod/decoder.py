"""An incremental T5 decoder for many hypotheses a user: the encoder's output is projected once a user, not once a beam.

Beams are the query dimension of cross-attention, and self-attention caches follow the beams by index. It reads the
parameters of a `T5ForConditionalGeneration` when built and computes what that network's own decoder computes.

`remember`, `start`, `step` and `log_probs` are all that searching asks of a model; one without an encoder can offer
them too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import T5ForConditionalGeneration

from pod.kernels import Weights, linear

# Rows of the vocabulary head are padded to whole blocks, so that searching can look at block maxima first.
BLOCK = 64
# Logits are made for so many users at a time that the product is fast, and normalised in pieces that stay in the cache.
_PRODUCT_BYTES, _PIECE_BYTES = 84_000_000, 6_000_000
# Small products leave a CUDA device idle.
_CUDA_BYTES = 1_000_000_000


@dataclass(frozen=True, eq=False)
class Memory:
    """What the decoder attends to: the encoder's output of n users, as keys and values of each layer.

    keys, values: one (n, heads, L, d_kv) a layer. bias: (n, 1, 1, L) of 0 and -inf; None where every position counts.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    bias: Tensor | None = None

    def __len__(self) -> int:
        return len(self.keys[0])

    @property
    def device(self) -> torch.device:
        return self.keys[0].device

    def take(self, users: Tensor) -> Memory:
        """The memory of these users, (m,) int64, in this order."""
        keys = tuple(each.index_select(0, users) for each in self.keys)
        values = tuple(each.index_select(0, users) for each in self.values)
        return Memory(keys, values, None if self.bias is None else self.bias.index_select(0, users))


@dataclass(eq=False)
class State:
    """Hypotheses in the course of decoding.

    caches: one (length, 2, rows, heads * d_kv) a layer, keys beside values of the tokens so far; rows = users * width.
    width:  how many hypotheses each user has in the caches.
    """

    memory: Memory
    caches: list[Tensor]
    length: int = 0
    width: int = 1
    kept: Tensor | None = None

    def keep(self, users: Tensor) -> None:
        """Go on with these users only, (m,) int64; the next step's parents are theirs."""
        self.memory = self.memory.take(users)
        self.kept = users if self.kept is None else self.kept[users]


@dataclass(frozen=True, eq=False)
class _Layer:
    """Parameters of one block, projections of one input side by side."""

    norm_self: Tensor
    qkv: Tensor
    out_self: Tensor
    norm_cross: Tensor
    query: Tensor
    out_cross: Tensor
    norm_ff: Tensor
    widen: tuple[Tensor, ...]
    narrow: Tensor
    activation: Callable[[Tensor], Tensor]

    def feed_forward(self, hidden: Tensor) -> Tensor:
        wide = self.activation(linear(hidden, self.widen[0]))
        if len(self.widen) > 1:
            wide = wide * linear(hidden, self.widen[1])
        return linear(wide, self.narrow)


class Decoder:
    """The decoder and vocabulary head of a T5 network.

    Parameters are read when this is built: build it anew after training steps. Dropout never applies.

    read: tokens of hypotheses that `step` has read so far.
    """

    @torch.no_grad()
    def __init__(self, network: T5ForConditionalGeneration) -> None:
        config: Any = network.config
        self.read = 0
        self.vocabulary = len(network.lm_head.weight)
        self.pad: int = config.pad_token_id or 0
        self.start_token: int = self.pad if config.decoder_start_token_id is None else config.decoder_start_token_id
        self.eos: int = config.eos_token_id
        self.heads, self.d_kv, self.width = config.num_heads, config.d_kv, config.d_model
        self.epsilon: float = config.layer_norm_epsilon
        self.embedding: Tensor = network.get_input_embeddings().weight.detach()
        self.norm: Tensor = network.decoder.final_layer_norm.weight.detach()
        scaled = getattr(config, "scale_decoder_outputs", config.tie_word_embeddings)
        self.scale: float = self.width**-0.5 if scaled else 1.0
        self.head = Weights(_whole_blocks(network.lm_head.weight.detach()))
        blocks: list[Any] = [block.layer for block in network.decoder.block]
        self.layers = [_layer(block) for block in blocks]
        self.cross = [
            (block[1].EncDecAttention.k.weight.detach(), block[1].EncDecAttention.v.weight.detach()) for block in blocks
        ]
        self._attention = blocks[0][0].SelfAttention
        self._biases: Tensor = self.embedding.new_empty(0)
        self._subset: tuple[Tensor, Weights] | None = None

    @torch.no_grad()
    def remember(self, encoded: Tensor, mask: Tensor | None = None) -> Memory:
        """Project the encoder's output for every layer.

        encoded: (n, L, d_model). mask: (n, L) bool, True where attention may look; None lets it look at every position,
        padding included, as the authors' code does (PUBLISHED.md line 4).
        """
        users, length, _ = encoded.shape

        def projected(weight: Tensor) -> Tensor:
            heads = linear(encoded, weight).view(users, length, self.heads, self.d_kv)
            return heads.transpose(1, 2).contiguous()

        bias = None
        if mask is not None and not bool(mask.all()):
            bias = encoded.new_zeros(users, 1, 1, length).masked_fill_(~mask.bool()[:, None, None], -math.inf)
        pairs = [(projected(key), projected(value)) for key, value in self.cross]
        return Memory(tuple(key for key, _ in pairs), tuple(value for _, value in pairs), bias)

    def start(self, memory: Memory) -> State:
        """Every user of `memory` with one empty hypothesis."""
        empty = self.embedding.new_empty(0, 2, len(memory), self.heads * self.d_kv)
        return State(memory, [empty] * len(self.layers))

    @torch.no_grad()
    def step(self, tokens: Tensor, state: State, parents: Tensor | None = None) -> Tensor:
        """Read one more token of every hypothesis.

        tokens:  (n, b) int64, of the users that `state` holds.
        parents: (n, b) int64, which of its user's hypotheses in the last step each continues; None: the one of the
                 same place (or, where the last step had one, that one).
        Returns (n, b, d_model), what `log_probs` takes.
        """
        users, width = tokens.shape
        self.read += users * width
        rows = self._rows(state, parents, users, width)
        bias = self._distance_bias(state.length + 1)
        hidden = F.embedding(tokens, self.embedding)
        for index, layer in enumerate(self.layers):
            normed = self._normed(hidden, layer.norm_self)
            query, added = linear(normed, layer.qkv).split([layer.out_self.shape[1], 2 * layer.out_self.shape[1]], -1)
            cache = state.caches[index] = _extended(state.caches[index], added.flatten(0, 1), rows)
            hidden = hidden + linear(self._attend_past(query, cache, bias), layer.out_self)
            normed = self._normed(hidden, layer.norm_cross)
            query = linear(normed, layer.query)
            hidden = hidden + linear(self._attend_memory(query, state.memory, index), layer.out_cross)
            hidden = hidden + layer.feed_forward(self._normed(hidden, layer.norm_ff))
        state.length, state.width, state.kept = state.length + 1, width, None
        hidden = self._normed(hidden, self.norm)
        return hidden * self.scale if self.scale != 1.0 else hidden

    @torch.no_grad()
    def log_probs(self, hidden: Tensor, rows: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Log-probabilities of the next token, float32, a few users at a time.

        hidden: (n, b, d_model) of `step`. rows: (R,) int64 vocabulary rows to restrict the softmax to.
        Yields, until all n users are through, which they are and their (m, b, R); over the whole vocabulary
        (m, b, V'), where V' is the next multiple of BLOCK and the columns from V on are -inf.
        """
        head = self.head if rows is None else self._head_rows(rows)
        users, width, _ = hidden.shape
        columns = len(head)
        one = max(1, width * columns * 4)
        many = _even(users, (_CUDA_BYTES if hidden.is_cuda else _PRODUCT_BYTES) // one)
        few = many if hidden.is_cuda else max(1, _PIECE_BYTES // one)
        for start in range(0, users, many):
            logits = head(hidden[start : start + many].to(head.weight.dtype).flatten(0, 1))
            if rows is None and columns > self.vocabulary:
                logits[:, self.vocabulary :] = -math.inf
            first = start
            for piece in logits.view(-1, width, columns).split(few):
                yield slice(first, first + len(piece)), _log_softmax(piece)
                first += len(piece)

    def _head_rows(self, rows: Tensor) -> Weights:
        """These rows of the head; the last asked for are kept, since a search asks for the same at every step."""
        if self._subset is None or self._subset[0] is not rows:
            self._subset = (rows, Weights(self.head.weight.index_select(0, rows)))
        return self._subset[1]

    def _rows(self, state: State, parents: Tensor | None, users: int, width: int) -> Tensor | None:
        """(n * b,) the row of the caches that each hypothesis continues; None where all stay in place."""
        if state.length == 0 or (parents is None and state.kept is None and width == state.width):
            return None
        device = state.memory.device
        origin = torch.arange(users, device=device) if state.kept is None else state.kept
        if parents is None:
            parents = torch.arange(width, device=device) if width == state.width else torch.zeros_like(origin[:1])
        return (origin[:, None] * state.width + parents).expand(users, width).reshape(-1)

    def _distance_bias(self, length: int) -> Tensor:
        """(heads, length) what self-attention adds for the tokens from the first to the present one."""
        if self._biases.shape[-1] < length:
            distances = torch.arange(max(2 * length, 64), device=self.embedding.device)
            attention = self._attention
            buckets = attention._relative_position_bucket(
                -distances,
                bidirectional=False,
                num_buckets=attention.relative_attention_num_buckets,
                max_distance=attention.relative_attention_max_distance,
            )
            self._biases = attention.relative_attention_bias.weight.detach()[buckets].t().flip(-1).contiguous()
        return self._biases[:, -length:]

    def _normed(self, hidden: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(hidden, (self.width,), weight, self.epsilon)

    def _attend_past(self, query: Tensor, cache: Tensor, bias: Tensor) -> Tensor:
        """query: (n, b, inner); cache: (t, 2, n * b, inner); bias: (heads, t). Returns (n, b, inner)."""
        length, _, rows, _ = cache.shape
        keys, values = cache.view(length, 2, rows * self.heads, self.d_kv).unbind(1)
        scores = torch.bmm(query.reshape(rows * self.heads, 1, self.d_kv), keys.permute(1, 2, 0))
        weights = torch.softmax(scores.view(rows, self.heads, length) + bias, -1)
        return torch.bmm(weights.view(rows * self.heads, 1, length), values.transpose(0, 1)).view(query.shape)

    def _attend_memory(self, query: Tensor, memory: Memory, layer: int) -> Tensor:
        """query: (n, b, inner). Returns (n, b, inner)."""
        users, width, _ = query.shape
        heads = query.view(users, width, self.heads, self.d_kv).transpose(1, 2)
        scores = heads @ memory.keys[layer].transpose(-1, -2)
        if memory.bias is not None:
            scores = scores.add_(memory.bias)
        mixed = torch.softmax(scores, -1) @ memory.values[layer]
        return mixed.transpose(1, 2).reshape(query.shape)


def _extended(cache: Tensor, added: Tensor, rows: Tensor | None) -> Tensor:
    """The cache's given rows with one more time step: (t, 2, r, inner) and (r', 2 * inner) to (t + 1, 2, r', inner)."""
    length, _, old, inner = cache.shape
    new = cache.new_empty(length + 1, 2, len(added), inner)
    if length and rows is None:
        new[:length] = cache
    elif length and rows is not None:
        past = new[:length].view(length * 2, len(added), inner)
        torch.index_select(cache.view(length * 2, old, inner), 1, rows, out=past)
    new[length] = added.view(len(added), 2, inner).transpose(0, 1)
    return new


def _log_softmax(logits: Tensor) -> Tensor:
    """In float32; on a CPU in place of the logits, which are still in the cache."""
    if logits.is_cuda or logits.dtype != torch.float32:
        return torch.log_softmax(logits, -1, dtype=torch.float32)
    return torch.log_softmax(logits, -1, out=logits)


def _even(total: int, most: int) -> int:
    """The size of the fewest parts of at most `most` that are about equal; at least 1."""
    parts = math.ceil(total / max(1, most))
    return max(1, math.ceil(total / max(1, parts)))


def _whole_blocks(head: Tensor) -> Tensor:
    """The head with rows of zeros to a multiple of BLOCK."""
    missing = -len(head) % BLOCK
    return head if not missing else torch.cat([head, head.new_zeros(missing, head.shape[1])])


def _layer(block: Any) -> _Layer:
    """block: self-attention, cross-attention and feed-forward of one decoder block."""
    own, cross, dense = block[0].SelfAttention, block[1].EncDecAttention, block[-1].DenseReluDense
    widen = (dense.wi_0.weight, dense.wi_1.weight) if hasattr(dense, "wi_0") else (dense.wi.weight,)
    return _Layer(
        norm_self=block[0].layer_norm.weight.detach(),
        qkv=torch.cat([own.q.weight, own.k.weight, own.v.weight]),
        out_self=own.o.weight.detach(),
        norm_cross=block[1].layer_norm.weight.detach(),
        query=cross.q.weight.detach(),
        out_cross=cross.o.weight.detach(),
        norm_ff=block[-1].layer_norm.weight.detach(),
        widen=tuple(weight.detach() for weight in widen),
        narrow=dense.wo.weight.detach(),
        activation=dense.act,
    )
