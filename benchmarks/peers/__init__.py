"""DeepFM of other toolkits to the same figures as ours: python -m benchmarks.peers."""
