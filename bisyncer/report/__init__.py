"""The voice: events in, words out."""
