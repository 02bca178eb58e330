"""How much one caller may use, and how often it may ask."""
