"""How fast and how lean: whole runs of the command line beside hand-written floors, on the same rows."""
