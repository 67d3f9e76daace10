"""`python -m flute_server.cli`: the command `flute` without its script."""

from flute_server.cli import main

main(prog_name="flute")
