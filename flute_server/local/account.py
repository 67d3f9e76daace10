"""The system user of the databases when root starts Flute: PostgreSQL refuses to run as root, rightly."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import stat
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .errors import LocalError

NAME = "flute-db"
Say = Callable[[str], None]

# Access control lists as Linux stores them (linux/posix_acl_xattr.h): a version, then (tag, permissions, id).
_ACL = "system.posix_acl_access"
_VERSION = struct.pack("<I", 2)
_ENTRY = struct.Struct("<HHI")
_USER_OBJ, _USER, _GROUP_OBJ, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x10, 0x20
_GROUP_CLASS = (_USER, _GROUP_OBJ, 0x08)
_NO_ID = 0xFFFFFFFF
_PASS = 1


@dataclass(frozen=True)
class Account:
    """A user and its group, by number."""

    uid: int
    gid: int

    def own(self, *paths: Path) -> None:
        """Make these files or folders this user's."""
        for path in paths:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def database_account(say: Say) -> Account | None:
    """The user to run the databases as; None for the present one, which is right unless it is root."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _create(say)
    return Account(entry.pw_uid, entry.pw_gid)


def _create(say: Say) -> pwd.struct_passwd:
    tool = shutil.which("useradd", path="/usr/sbin:/sbin:" + os.environ.get("PATH", ""))
    options = ["--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    reason = "useradd is not installed"
    if tool:
        command = [tool, *options, "--shell", "/usr/sbin/nologin", NAME]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
        reason = done.stderr.strip()
    try:
        # Looked up even when useradd failed: another start may have been quicker.
        entry = pwd.getpwnam(NAME)
    except KeyError:
        raise LocalError(
            f"PostgreSQL does not run as root, and its own user {NAME} could not be created ({reason}). "
            "Start Flute as an ordinary user, or set DATABASE_URL to a PostgreSQL of yours."
        ) from None
    say(f"created the system user {NAME}, because PostgreSQL does not run as root")
    return entry


def let_pass(account: Account, path: Path, say: Say) -> None:
    """Let the user walk down to path. Its folders can be walked through, not listed, and by nobody else."""
    for folder in reversed(path.resolve().parents):
        status = folder.stat()
        if status.st_uid == account.uid or status.st_mode & stat.S_IXOTH or _passes(account, folder):
            continue
        try:
            _grant(account, folder, status.st_mode)
            say(f"let the user {NAME} pass through {folder}; it cannot list it")
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL, errno.ENOSYS}:
                raise
            # The file system knows no access control lists: the narrowest that is left.
            folder.chmod(stat.S_IMODE(status.st_mode) | stat.S_IXOTH)
            say(f"let other users pass through {folder}, because {NAME} must; they cannot list it")


def make_readable(folder: Path) -> None:
    """Let everyone read what a package installed, in case it was installed with a strict umask."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if mode & wanted != wanted:
            path.chmod(stat.S_IMODE(mode) | wanted)


def _read_acl(folder: Path) -> list[tuple[int, int, int]]:
    try:
        raw = os.getxattr(folder, _ACL)
    except OSError:
        return []
    return [entry for entry in _ENTRY.iter_unpack(raw[len(_VERSION) :])]


def _passes(account: Account, folder: Path) -> bool:
    entries = _read_acl(folder)
    mask = next((allowed for tag, allowed, _ in entries if tag == _MASK), 7)
    return any(
        tag == _USER and who == account.uid and allowed & mask & _PASS for tag, allowed, who in entries
    )


def _grant(account: Account, folder: Path, mode: int) -> None:
    bits = ((_USER_OBJ, 6), (_GROUP_OBJ, 3), (_OTHER, 0))
    entries = _read_acl(folder) or [(tag, mode >> shift & 7, _NO_ID) for tag, shift in bits]
    kept = [entry for entry in entries if entry[0] != _MASK and entry[::2] != (_USER, account.uid)]
    kept.append((_USER, _PASS, account.uid))
    reach = 0
    for tag, allowed, _ in kept:
        reach |= allowed if tag in _GROUP_CLASS else 0
    # The kernel wants the entries in the order of their tags and ids.
    ordered = sorted([*kept, (_MASK, reach, _NO_ID)], key=lambda entry: (entry[0], entry[2]))
    os.setxattr(folder, _ACL, _VERSION + b"".join(_ENTRY.pack(*entry) for entry in ordered))
