"""`python -m zsk`, the command line `zsk`."""

from zsk.cli import main

if __name__ == "__main__":  # processes that a training starts import this file
    main()
