# SPDX-License-Identifier: Apache-2.0
"""Make Vitrage's tables in the database of this URL."""

import sys

import sqlalchemy
from vitrage.storage.sqlalchemy import models

if __name__ == "__main__":
    models.Base.metadata.create_all(sqlalchemy.create_engine(sys.argv[1]))
