"""What the kit does not ask of the salesforce connector."""
