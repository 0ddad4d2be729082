"""Data-subject requests: the library that all functions share. Decisions first, AWS at the edge."""

from dsr import cold

cold.begin()
