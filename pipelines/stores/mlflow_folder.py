"""MLflow's own SQLite file in a folder of this machine. It appears complete or not at all."""

import fcntl
from pathlib import Path

DATABASE = "mlflow.db"


def tracking_uri(folder: Path) -> str:
    """The address of MLflow's database in `folder`, which is created if it is missing.

    MLflow creates its tables in many steps that are not one transaction. A process that is killed between them would
    leave a file that MLflow can neither use nor repair, so the tables are created in a file of another name.
    """
    database = folder / DATABASE
    if not database.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not database.exists():
                _create(database)
    return f"sqlite:///{database}"


def _create(database: Path) -> None:
    from mlflow.store.db.utils import _initialize_tables
    from sqlalchemy import create_engine

    fresh = database.with_name(f"{DATABASE}.new")
    for left in database.parent.glob(f"{fresh.name}*"):  # with SQLite's journal
        left.unlink()
    engine = create_engine(f"sqlite:///{fresh}")
    _initialize_tables(engine)  # type: ignore[no-untyped-call]
    engine.dispose()
    fresh.rename(database)
