"""Commands that measure, each from data it makes itself to one table: python -m benchmarks.NAME."""
