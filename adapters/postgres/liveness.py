"""Noticing, before a connection is used, that the server closed it meanwhile: after a restart, nobody has to fail first."""

import select

import psycopg
from psycopg.pq import ConnStatus

_MOST_READS = 4  # a farewell message and the end of the stream behind it, with room for a notice before


def hung_up(connection: psycopg.AsyncConnection[object]) -> bool:
    """Tell whether the server has closed an idle connection: one look at the socket, no round trip."""
    pgconn = connection.pgconn
    if pgconn.status != ConnStatus.OK:
        return True
    socket = select.poll()
    socket.register(pgconn.socket, select.POLLIN)
    try:
        for _ in range(_MOST_READS):
            if not socket.poll(0):
                return False
            pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return True
