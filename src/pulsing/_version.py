"""The version of the distribution, written once: here."""

__version__ = "0.1.0"
