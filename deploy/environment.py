"""Write .env with fresh passwords, once: what docker-compose.yml asks for. Never overwrites."""

import secrets
import sys
from pathlib import Path

NAMES = ("FOREWARN_DB_PASSWORD", "GRAFANA_READER_PASSWORD", "GRAFANA_ADMIN_PASSWORD", "PREFECT_PASSWORD")


def main() -> None:
    path = Path(__file__).resolve().parents[1] / ".env"
    present = path.read_text() if path.exists() else ""
    # Of two lines with the same name the later one counts, so that a line without a value may stay.
    given = {
        name.strip()
        for name, _, value in (line.partition("=") for line in present.splitlines())
        if value.strip()
    }
    missing = [name for name in NAMES if name not in given]
    if missing:
        path.touch(mode=0o600)
        with path.open("a") as file:
            file.write("\n" if present and not present.endswith("\n") else "")
            file.writelines(f"{name}={secrets.token_hex(16)}\n" for name in missing)
        sys.stdout.write(f"wrote {', '.join(missing)} to {path.name}\n")


if __name__ == "__main__":
    main()
