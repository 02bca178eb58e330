"""What connections do: one file for each kind of session, and one for their commands."""
