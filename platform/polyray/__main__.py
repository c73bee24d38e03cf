"""`python -m polyray` is the command `polyray`."""

from polyray.cli.app import main

if __name__ == "__main__":
    main()
