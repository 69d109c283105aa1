"""What is the same for every request, whatever its dialect: who enters, what may be sent, how answers are written."""
