"""One process that answers for every champion: follows the registry, batches, shadows, logs."""
