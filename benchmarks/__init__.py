"""Speed and quality, measured side by side with what others offer."""
