"""Is this installation well? Asked by the server for its operators, and by `flute doctor`."""
