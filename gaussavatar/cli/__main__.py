"""``python -m gaussavatar.cli`` is the ``gaussavatar`` command."""

from gaussavatar.cli.main import main

if __name__ == "__main__":
    main()
