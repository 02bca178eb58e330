"""What an application declares about its channels: patterns, and who may do what."""
