"""The run: the only room where core, endpoints, state and report meet."""
