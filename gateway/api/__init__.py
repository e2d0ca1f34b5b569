"""The HTTP surface: what comes in from agents, and what is told to operators."""
