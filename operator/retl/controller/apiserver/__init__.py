"""The API server as the controller meets it: requests and their budgets, watches, the Lease, and the clocks of both."""
