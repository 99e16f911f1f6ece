"""The wishes: file, environment and flags in, one frozen Job out."""
