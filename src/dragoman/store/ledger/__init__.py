"""What was spent: intents before a call, entries after it, sums that are always the sum of entries."""
