# SPDX-License-Identifier: Apache-2.0
"""Make Zaqar's tables in the database of this URL. Zaqar's own migrations need a server."""

import sys

import sqlalchemy
from zaqar.storage.sqlalchemy import tables

if __name__ == "__main__":
    tables.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
