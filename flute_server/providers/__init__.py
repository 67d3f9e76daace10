"""The sending services: one file a provider, each declaring itself."""
