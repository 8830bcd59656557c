"""`python -m tallystick`: the command line where its script is not installed."""

from tallystick.host.cli import main

main()
