"""Every dialect against every recorded exchange, and every dialect against every other."""
