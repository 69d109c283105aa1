"""ReverseETLSyncs: whether they can run, which ticks are due, who runs next, and what is kept of the past."""
