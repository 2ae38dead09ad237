"""What the house tells about itself: logs, for now."""
