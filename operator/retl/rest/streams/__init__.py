"""Answers that go on: what happens to a run, and what its runner writes."""
