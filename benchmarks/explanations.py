"""How long 200,000 reviews take to become explanation records: `python -m benchmarks.explanations [DATA_DIR]`.

Bar: 5 minutes on one core, from JSON lines on disk to records in three parts. With a folder that holds the reviews of
`musical` their texts are used, about 90 words each; without it, reviews as long are put together from the demo's.
"""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from bench.data.amazon import iter_reviews, read_amazon_reviews
from bench.data.catalog import load_reviews
from bench.explanations import make_explanations
from benchmarks.measure import Bar, finish, hold

N_REVIEWS, PER_USER, N_ITEMS, WORDS = 200_000, 8, 12_101, 90
STEPS = {"200,000 reviews": Bar(300.0, 4.0)}


def texts(data_dir: str | None) -> Iterator[str]:
    """Review texts without end."""
    if data_dir is not None:
        return cycle([review.text for review in load_reviews("musical", Path(data_dir), offline=True)])
    demo = [review.text for review in load_reviews("demo")]
    size = WORDS // 10
    return cycle(" ".join(demo[start : start + size]) for start in range(0, len(demo) - size))


def write_reviews(path: Path, source: Iterator[str]) -> None:
    """N_REVIEWS lines of users with PER_USER reviews each; a step prime to the catalogue gives distinct items."""
    with gzip.open(path, "wt", compresslevel=1, encoding="utf-8") as stream:
        for number, text in enumerate(islice(source, N_REVIEWS)):
            record = {
                "reviewerID": f"u{number // PER_USER}",
                "asin": f"i{number * 7919 % N_ITEMS}",
                "overall": 5.0,
                "unixReviewTime": 1_300_000_000 + number,
                "reviewText": text,
            }
            stream.write(json.dumps(record) + "\n")


def main(arguments: list[str]) -> int:
    """With a step and a file: measure it here. Without: make the file and measure it; 1 if the bar is missed."""
    if len(arguments) == 2:
        path = Path(arguments[1])
        dataset = read_amazon_reviews(path, "made-up")
        finish(lambda: f"{len(make_explanations(iter_reviews(path), dataset)):,} records")
        return 0
    with tempfile.TemporaryDirectory(prefix="podium-explanations-") as folder:
        path = Path(folder) / "reviews.json.gz"
        write_reviews(path, texts(arguments[0] if arguments else None))
        return min(1, hold("benchmarks.explanations", STEPS, str(path)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
