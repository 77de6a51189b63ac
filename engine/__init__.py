"""What every torch model here shares: randomness, checkpoints and the training loop."""
