"""The queue directory: five places on one file system, and the moves between them. Knows nothing of S3 or the CLI."""
