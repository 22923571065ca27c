"""Where this process finds data sets, and how much of the disk and of memory they may take: said once, when it starts."""

import os

from service.settings import Settings


def open_stores(settings: Settings, *, for_children: bool = False) -> None:
    """Tell this process where data sets are.

    Args:
        settings: of the process.
        for_children: tell the processes that it starts too, by their environment.
    """
    from workers import data_store, pools  # noqa: PLC0415 - heavy imports wait until a command needs them

    data_store.open_store(settings.datasets_folder, quota=settings.datasets_quota)
    pools.set_memory(settings.pool_memory)
    if for_children:
        os.environ["FORETELL_DATASETS_DIR"] = str(settings.datasets_folder)
        os.environ["FORETELL_DATASETS_QUOTA"] = str(settings.datasets_quota)
        os.environ["FORETELL_POOL_MEMORY"] = str(settings.pool_memory)
