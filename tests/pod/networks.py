"""Small networks with weights that make next tokens depend strongly on what was read."""

from __future__ import annotations

import torch
from transformers import T5Config, T5ForConditionalGeneration

from engine.randomness import seeded


def network(
    seed: int, vocabulary: int = 150, flan: bool = False, sharp: float = 2.0, ends: float = 0.0
) -> T5ForConditionalGeneration:
    """A T5 of width 24 with 2 + 2 layers, in evaluation mode.

    flan: gated and with a head of its own. ends: how much likelier than others EOS is after every token.
    """
    config = T5Config(
        vocab_size=vocabulary,
        d_model=24,
        d_kv=6,
        d_ff=40,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        feed_forward_proj="gated-gelu" if flan else "relu",
        tie_word_embeddings=not flan,
    )
    with seeded(seed, "cpu"):
        built = T5ForConditionalGeneration(config).eval()
        if flan:
            # Today's transformers tie the two whatever the configuration says; only loading a checkpoint parts them.
            built.lm_head.weight = torch.nn.Parameter(torch.randn(vocabulary, 24) / 2)
        with torch.no_grad():
            for name, weight in built.decoder.named_parameters():
                if weight.dim() == 2 and "embed_tokens" not in name:
                    weight.mul_(sharp)
            # One dimension is about the same after every token, and speaks for EOS.
            built.shared.weight[:, 0] = 8.0
            built.lm_head.weight[1, 0] += ends
    return built


def sources(seed: int, users: int, length: int, width: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    """An encoder's output (n, L, d) and a (n, L) mask of rows of unequal length."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(2, length + 1, (users, 1), generator=generator)
    return torch.randn(users, length, width, generator=generator), torch.arange(length) < lengths
