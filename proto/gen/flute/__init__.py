"""Generated from proto/flute; see proto/generate.py."""
