"""``python -m service`` is ``foretell``."""

from service.cli import main

if __name__ == "__main__":
    main()
