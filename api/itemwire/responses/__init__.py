"""What requests bring and what answers look like: bodies, problems, refusals."""
