"""The use cases, in verbs."""
