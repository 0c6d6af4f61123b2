"""Keeps a mount of the rigs: cuts its power when told to, and takes it away when its owner has ended.

usage: disk.py MOUNT FOLDER

Each line on stdin is a cut: what the file system had not written out is lost, as without power, and
"cut" is answered. The end of stdin is the end of the owner, however it came: the mount and the folder
around it go.
"""

import fcntl
import os
import shutil
import struct
import subprocess
import sys

# EXT4_IOC_SHUTDOWN and EXT4_GOING_FLAGS_NOLOGFLUSH.
SHUTDOWN = 0x8004587D
NOTHING_IS_WRITTEN_OUT = 2


def cut(mount):
    fd = os.open(mount, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NOTHING_IS_WRITTEN_OUT))
    finally:
        os.close(fd)


def main():
    mount, folder = sys.argv[1:]
    for _ in sys.stdin:
        cut(mount)
        print("cut", flush=True)
    while os.path.ismount(mount):
        # Lazily: a process that hasn't ended yet must not keep it.
        if subprocess.run(["umount", "-l", mount]).returncode != 0:
            break
    shutil.rmtree(folder, ignore_errors=True)


main()
