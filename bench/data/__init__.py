"""Sources and what they turn into; `bench.data.catalog` is the door."""
