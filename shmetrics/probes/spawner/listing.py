# SPDX-License-Identifier: Apache-2.0
"""The command that prints those files of a gear that say which commands it has.

It runs in the gear's directory and as the gear's user, as every command of a gear does, where the
gatherer may not enter that directory. So it reads what the gear may read, and no more. It prints a
line for each program, and then each file below a header.
"""

from __future__ import annotations

from typing import Final

EXECUTABLE: Final = b"x "  # begins the line of a program
HEADER_BEGIN: Final = b"==> "  # head(1)'s, of several files
HEADER_END: Final = b" <=="

_SCRIPT = """\
for file in */bin/metrics */bin/control app-root/repo/.openshift/action_hooks/metrics; do
    [ -f "$file" ] && [ -x "$file" ] && printf 'x %s\\n' "$file"
done
set --
for file in */metadata/manifest.yml .env/OPENSHIFT_* */env/OPENSHIFT_*; do
    [ -f "$file" ] && [ -r "$file" ] && set -- "$@" "$file"
done
[ $# = 0 ] || exec head --verbose --bytes=65536 -- "$@"
"""

COMMAND: Final = ("/bin/sh", "-c", _SCRIPT)
