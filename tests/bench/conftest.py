"""Hypothesis draws the same examples every time, keeps no files and minds no clock: machines here are shared."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("podium", derandomize=True, database=None, deadline=None)
settings.load_profile("podium")
