"""Lets `python -m bisyncer` do what `bisyncer` does."""

from bisyncer.cli.app import main

if __name__ == "__main__":
    main()
