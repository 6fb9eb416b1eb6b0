"""From photographs to a multi-resolution dataset on disk, and minibatches out of it."""
