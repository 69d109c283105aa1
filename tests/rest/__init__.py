"""The API pod over real sockets."""
