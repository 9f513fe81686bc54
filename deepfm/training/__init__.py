"""(dataset, configuration) to events and a run folder."""

import os

# Read when torch is loaded. Threads that spin while they wait for each other take the processor
# from whom they wait for as soon as anything else runs: seen on two busy cores, 18 times slower
# than threads that sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
