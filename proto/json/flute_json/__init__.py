"""The contract in JSON, as web answers with it and the command line prints it: names, and the writing."""
