"""Commands for maintenance: users, weights, training, benchmarks, database and settings."""
