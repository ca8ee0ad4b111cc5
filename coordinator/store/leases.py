"""Which of several coordinator processes does what only one may do at a time."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError

from coordinator.store.database import Database
from coordinator.store.tables import leases


async def hold(database: Database, name: str, holder: str, life: timedelta, now: datetime) -> bool:
    """Take or renew the lease ``name``; False while another holder has it and it has not run out."""
    until = (now + life).isoformat()
    mine_or_free = or_(leases.c.holder == holder, leases.c.until <= now.isoformat())
    try:
        async with database.begin() as connection:
            taken = await connection.execute(
                update(leases).where(leases.c.name == name, mine_or_free).values(holder=holder, until=until)
            )
            if taken.rowcount:
                return True
            if (await connection.execute(select(leases.c.name).where(leases.c.name == name))).first() is not None:
                return False
            await connection.execute(leases.insert().values(name=name, holder=holder, until=until))
            return True
    except IntegrityError:  # another process was first to take it for the first time
        return False


async def let_go(database: Database, name: str, holder: str) -> None:
    """Give the lease back, so that another process need not wait for its end."""
    async with database.begin() as connection:
        await connection.execute(leases.delete().where(leases.c.name == name, leases.c.holder == holder))
