"""The referee: datasets, splits, tasks, metrics, runs and tables. Imports no torch and no model."""

__version__ = "0.2.0"
