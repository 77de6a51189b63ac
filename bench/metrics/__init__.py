"""Per-user numbers from arrays; means, intervals and tests all come from them."""
