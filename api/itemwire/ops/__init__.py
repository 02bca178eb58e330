"""What an operator asks for beside the server: `itemwire doctor`."""
