"""Runs and jobs: queued by the app, done by the worker, kept in one store."""
