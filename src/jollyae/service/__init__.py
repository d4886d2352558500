"""Running it for real: from options to spool, destination, processor and worker, in one place."""
