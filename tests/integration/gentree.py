# SPDX-License-Identifier: Apache-2.0
"""A host folder with everything odd that a file system can hold, and a listing to compare folders by.

    gentree.make(path)      fills an empty folder; as root also devices, owners, capabilities, trusted.*
    gentree.listing(path)   {relative path as bytes: attributes}, for two folders that should be equal

Run as a program: gentree.py FOLDER makes one.
"""

import errno
import hashlib
import os
import stat
import struct
import sys

SPARSE_SIZE = (1 << 30) + 12345
BIG_DIRECTORY = 10000


def _write(path, data=b"", mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def _modes(top):
    os.mkdir(top)
    for mode in list(range(0o400, 0o1000, 0o11)) + [0o4755, 0o2755, 0o1644, 0o7777, 0o6400]:
        _write(top + b"/mode-%04o" % mode, b"%o" % mode, mode)
    for mode in (0o700, 0o755, 0o1777, 0o2775, 0o7755):
        os.mkdir(top + b"/dir-%04o" % mode)
        os.chmod(top + b"/dir-%04o" % mode, mode)


def _times(top):
    os.mkdir(top)
    for seconds, ns in ((0, 0), (0, 1), (-1, 999999999), (-2**31, 0), (-2**31 + 1, 5), (2**31 - 1, 999999999),
                        (2**31, 123456789), (2**32, 7), (1700000000, 1)):
        path = top + b"/time%d.%09d" % (seconds, ns)
        _write(path)
        os.utime(path, ns=(0, seconds * 10**9 + ns))
    os.symlink(b"x", top + b"/link")
    os.utime(top + b"/link", ns=(0, 123456789 * 10**9 + 1), follow_symlinks=False)


def _names(top):
    os.mkdir(top)
    for name in (b"a", b" ", b"-", b"...", b"a b", b"new\nline", b"tab\t", b"\\", b"'", b'"', b"*", b"?", b"\x7f",
                 b"\x01", b"\xff\xfe", b"caf\xc3\xa9", b"caf\xe9", b"A", b"\xf0\x9f\x98\x80", b"n" * 255,
                 b"\xff" * 255, b"n" * 254, b"lost+found"):
        _write(top + b"/" + name, name)


def _links(top):
    os.mkdir(top)
    for size in (1, 58, 59, 60, 61, 127, 255, 1023, 1024, 4000, 4095):
        os.symlink((b"t/" * 2048)[:size], top + b"/link-%04d" % size)
    os.symlink(b"/etc/passwd", top + b"/absolute")
    os.symlink(b"loop", top + b"/loop")
    _write(top + b"/file", b"linked", 0o640)
    os.mkdir(top + b"/sub")
    for i in range(5):
        os.link(top + b"/file", top + b"/sub/hard-%d" % i)
    os.link(top + b"/absolute", top + b"/sub/hard-symlink", follow_symlinks=False)


def _contents(top):
    os.mkdir(top)
    for size in (0, 1, 511, 512, 1023, 1024, 1025, 4095, 4096, 4097, 65536, 524287, 524288, 524289, 3 << 20):
        _write(top + b"/size-%07d" % size, (b"%07d" % size * (size // 7 + 1))[:size])
    with open(top + b"/sparse", "wb") as f:
        for off in (0, 1 << 20, (1 << 20) + 8192, 700 << 20):
            f.seek(off)
            f.write(b"data at %d" % off)
        f.truncate(SPARSE_SIZE)
    with open(top + b"/hole", "wb") as f:
        f.truncate(10 << 20)
    with open(top + b"/comb", "wb") as f:  # more extents than fit into an inode
        for i in range(600):
            f.seek(i * 16384)
            f.write(b"%4d" % i * 1024)


def _deep(top):
    os.mkdir(top)
    home = os.open(b".", os.O_RDONLY)
    os.chdir(top)
    for i in range(60):
        os.mkdir(b"d" * 100)
        os.chdir(b"d" * 100)
    _write(b"bottom", b"deep")
    os.fchdir(home)
    os.close(home)


def _big_directory(top):
    os.mkdir(top)
    for i in range(BIG_DIRECTORY):
        os.close(os.open(top + b"/entry-%06d-of-a-big-directory" % i, os.O_CREAT | os.O_WRONLY, 0o644))
    os.mkdir(top + b"/subdirs")
    for i in range(300):
        os.mkdir(top + b"/subdirs/%d" % i)


def _set_xattr(path, name, value):
    """False when the host's file system or this user cannot have it."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as e:
        if e.errno in (errno.ENOTSUP, errno.EPERM, errno.ENOSPC, errno.EACCES):
            return False
        raise
    return True


def _acl(*entries):
    """An ACL in the kernel's form: (tag, permissions, id) each, in order of tag."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


def _xattrs(top):
    os.mkdir(top)
    for size in (0, 1, 40, 100, 1000, 3000):
        path = top + b"/user-%04d" % size
        _write(path)
        _set_xattr(path, b"user.test", (b"v" * size))
    path = top + b"/many"
    _write(path)
    for i in range(20):
        _set_xattr(path, b"user.name-%d" % (i * 7 % 20), b"%d" % i * 5)
    for i in range(8):  # equal sets on several files
        _write(top + b"/shared-%d" % i)
        _set_xattr(top + b"/shared-%d" % i, b"user.shared", b"s" * 200)
    os.mkdir(top + b"/acl")
    none = 0xffffffff
    access = _acl((1, 7, none), (2, 6, 1234), (4, 5, none), (8, 4, 99), (16, 7, none), (32, 1, none))
    _set_xattr(top + b"/acl", b"system.posix_acl_access", access)
    _set_xattr(top + b"/acl", b"system.posix_acl_default", access)
    _write(top + b"/acl/below", b"inherits")


def _as_root(top):
    os.mkdir(top)
    for name, kind, major, minor in ((b"null", stat.S_IFCHR, 1, 3), (b"sda", stat.S_IFBLK, 8, 0),
                                     (b"large", stat.S_IFBLK, 259, 70000), (b"most", stat.S_IFCHR, 4095, 1048575),
                                     (b"old-limit", stat.S_IFCHR, 255, 255), (b"new", stat.S_IFCHR, 255, 256)):
        try:
            os.mknod(top + b"/" + name, kind | 0o660, os.makedev(major, minor))
        except PermissionError:  # root of a user namespace only
            pass
    for uid, gid in ((1, 2), (65535, 65536), (100000, 4294967294)):
        path = top + b"/owner-%d-%d" % (uid, gid)
        try:
            _write(path)
            os.chown(path, uid, gid)
        except OSError:
            pass
    os.symlink(b"x", top + b"/link")
    os.lchown(top + b"/link", 33, 33)
    _set_xattr(top + b"/link", b"trusted.link", b"on a link")
    _write(top + b"/ping", b"#!", 0o755)
    _set_xattr(top + b"/ping", b"security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0))
    _set_xattr(top + b"/ping", b"trusted.overlay.opaque", b"y")


def make(path, big=True):
    """Fills an empty folder. big=False leaves out the directory of 10,000 entries."""
    top = os.fsencode(path)
    umask = os.umask(0)
    try:
        _modes(top + b"/modes")
        _times(top + b"/times")
        _names(top + b"/names")
        _links(top + b"/links")
        _contents(top + b"/contents")
        _deep(top + b"/deep")
        _xattrs(top + b"/xattrs")
        os.mkdir(top + b"/empty")
        os.mkfifo(top + b"/fifo", 0o620)
        if big:
            _big_directory(top + b"/big")
        if os.geteuid() == 0:
            _as_root(top + b"/root")
    finally:
        os.umask(umask)


def _digest(name, fd, size):
    """Of the blocks that are not zero, so that holes and zeros are the same, and holes need not be read."""
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
    total = hashlib.sha256()
    off = 0
    try:
        while off < size:
            try:
                off = os.lseek(file, off, os.SEEK_DATA) & ~4095
            except OSError:  # a hole to the end
                break
            block = os.pread(file, 4096, off)
            if block.strip(b"\0"):
                total.update(b"%d:" % off + block)
            off += 4096
    finally:
        os.close(file)
    return total.hexdigest()


def _xattrs_of(fd, name):
    path = b"/proc/self/fd/%d/%s" % (fd, name)
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return {n: os.getxattr(path, n, follow_symlinks=False) for n in names if n != "security.selinux"}


def _describe(fd, name, links, path):
    st = os.stat(name, dir_fd=fd, follow_symlinks=False)
    entry = {"mode": oct(st.st_mode), "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns,
             "xattrs": _xattrs_of(fd, name)}
    if stat.S_ISREG(st.st_mode):
        entry["size"] = st.st_size
        entry["digest"] = _digest(name, fd, st.st_size)
    elif stat.S_ISLNK(st.st_mode):
        entry["target"] = os.readlink(name, dir_fd=fd)
    elif stat.S_ISCHR(st.st_mode) or stat.S_ISBLK(st.st_mode):
        entry["device"] = (os.major(st.st_rdev), os.minor(st.st_rdev))
    if not stat.S_ISDIR(st.st_mode):
        entry["nlink"] = st.st_nlink
        if st.st_nlink > 1:
            entry["first"] = links.setdefault((st.st_dev, st.st_ino), path)
    return entry, stat.S_ISDIR(st.st_mode)


def listing(path, skip=(b"lost+found",)):
    """Everything below path that two equal folders have in common; `skip` names entries of the top."""
    result, links = {}, {}

    def walk(fd, prefix):
        for name in sorted(os.fsencode(n) for n in os.listdir(fd)):
            if not prefix and name in skip:
                continue
            entry, is_dir = _describe(fd, name, links, prefix + name)
            result[prefix + name] = entry
            if is_dir:
                below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                try:
                    walk(below, prefix + name + b"/")
                finally:
                    os.close(below)

    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        result[b""] = _describe(top, b".", links, b"")[0]
        walk(top, b"")
    finally:
        os.close(top)
    return result


def differences(a, b, limit=20):
    """Lines that say where two listings differ; empty when they are equal."""
    lines = []
    for path in sorted(set(a) | set(b)):
        if path not in a or path not in b:
            lines.append("%r is only in the %s" % (path, "second" if path in b else "first"))
        else:
            lines += ["%r: %s is %r, then %r" % (path, key, a[path].get(key), b[path].get(key))
                      for key in sorted(set(a[path]) | set(b[path])) if a[path].get(key) != b[path].get(key)]
    return lines[:limit]


if __name__ == "__main__":
    make(sys.argv[1])
