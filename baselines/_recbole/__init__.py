"""RecBole as a library of models: its dataset encoding, its networks and their `calculate_loss`, nothing else."""
