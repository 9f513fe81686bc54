"""(dataset, configuration) to events and a run folder."""
