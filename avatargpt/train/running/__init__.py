"""How a training run is kept: processes, optimisers, checkpoints, logs."""
