"""The door: parses, builds, prints, exits."""
