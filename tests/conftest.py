"""What holds for all tests: machines are shared, so no generated example fails for having taken long."""

from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
