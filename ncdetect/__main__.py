"""`python -m ncdetect`."""

from ncdetect.cli import main

main()
