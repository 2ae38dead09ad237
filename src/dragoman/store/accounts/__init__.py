"""People, groups and keys. It must not know HTTP, nor what a call costs."""
