"""P5 (Geng et al., RecSys 2022): the prompts of words that POD distils, on the same backbone and data.

POD's rooms serve it: no prompt vectors, worded templates in training and asking, samples of all tasks mixed in one
padded batch with padding masked.
"""

from __future__ import annotations

from bench.models import ModelInfo
from pod.variants import IndependentP5Settings, P5Settings, text_model

_PAPER = "Geng et al., RecSys 2022"

MODELS: tuple[ModelInfo, ...] = (
    text_model("p5", "P5", P5Settings, _PAPER),
    text_model(
        "p5-independent", "P5 (a token an item)", IndependentP5Settings, f"{_PAPER}; ids of Hua et al., SIGIR-AP 2023"
    ),
)
