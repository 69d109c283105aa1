"""HTTP exchanges with the API server, for the processes that speak with it: the controller and the API pod."""
