"""The engine that workers share."""
