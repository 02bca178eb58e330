"""What a connection does with each frame, one file for each kind of connection."""
