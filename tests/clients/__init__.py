"""Real client libraries through the running gateway."""
