"""What the explaining models of Table 4 share: words, batches, the fit, greedy decoding; one file for each network."""
