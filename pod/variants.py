"""POD and its variants, as the registry knows them."""

from __future__ import annotations

from bench.models import ModelInfo

MODELS: tuple[ModelInfo, ...] = ()
