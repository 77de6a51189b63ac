"""One page to look at: tables, figures, verdicts, runs and examples of a dataset and preset in one HTML file."""

from bench.report.page.contents import Contents
from bench.report.page.index import write_index
from bench.report.page.write import write_page

__all__ = ["Contents", "write_index", "write_page"]
