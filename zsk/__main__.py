"""`python -m zsk`, the command line `zsk`."""

from zsk.cli import main

# Python does not import a package's __main__ in the processes that a training starts, where zsk has
# to come before Detectron2, unless it looks like a plain script.
__spec__ = None

if __name__ == "__main__":
    main()
