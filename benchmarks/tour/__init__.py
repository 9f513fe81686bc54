"""Frappe to the README's tour: what the FM, the network and what lies beyond pairs each add."""
