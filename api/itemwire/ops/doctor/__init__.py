"""`itemwire doctor`: looks at what a server depends on, one line for each thing."""
