"""The contract, over every model that the registry knows."""

from __future__ import annotations

import pytest
from contract import ModelContract

from bench.models import discover


class TestEveryModel(ModelContract):
    @pytest.fixture(params=sorted(discover().models))
    def model(self, request):
        return request.param
