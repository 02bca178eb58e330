"""What is installed and shipped, seen from outside of the checkout."""
