"""The servers that several machines share: PostgreSQL, Redis, S3."""
