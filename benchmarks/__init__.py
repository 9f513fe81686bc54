"""Commands that measure, each from data it makes itself to one table: python -m benchmarks.NAME."""

# First of all, as in the app: it says how torch's threads wait, which is read when torch is loaded.
import deepfm.training  # noqa: F401
