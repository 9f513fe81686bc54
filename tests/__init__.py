"""All that must hold; `python3 -m tests` checks it."""
