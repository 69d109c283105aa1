"""What the controller tells of itself and of its work: Events, metrics, health."""
