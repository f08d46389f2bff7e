# SPDX-License-Identifier: GPL-2.0-or-later
"""The peer of "reclaimctl ps": the same columns with psutil, in the fastest way it documents.

oneshot() caches what several columns share; memory_maps() is the one call that
tells heap from other anonymous memory and file from shared memory, and its
ungrouped form does the least. psutil has no call for cgroups, so that file is
read here. With --no-maps the columns that need memory_maps() stay empty; with
--min only processes with so many resident bytes are looked at any further.

    psutil_ps.py [--no-maps] [--min=BYTES] [PID...]
"""

import pwd
import sys
import time

import psutil

loaded = time.perf_counter_ns()

SHARED = ("/dev/shm/", "/dev/zero", "/memfd:", "/SYSV", "[shmem]")


def split_maps(process):
    """Resident bytes: anonymous, file, shared, [heap], other anonymous; and swap."""
    anon = file = shmem = heap = other = swap = 0
    for m in process.memory_maps(grouped=False):
        path = m.path
        anon += m.anonymous
        swap += m.swap
        if path == "[heap]":
            heap += m.rss
        elif path == "[anon]":
            other += m.rss
        elif path.startswith(SHARED):
            shmem += m.rss
        elif path[0] != "[":
            file += m.rss - m.anonymous
    return anon, file, shmem, heap, other, swap


def unit_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as cgroup:
        path = ""
        for line in cgroup:
            if line.startswith("0::"):
                path = line[3:].rstrip()
    for part in reversed(path.split("/")):
        if part.endswith((".service", ".scope")):
            return part
    return path


def row_of(process, users, maps, least):
    with process.oneshot():
        pid = process.pid
        rss = process.memory_info().rss
        if rss < least:
            return None
        uid = process.uids().real
        user = users.get(uid)
        if user is None:
            try:
                user = pwd.getpwuid(uid).pw_name
            except KeyError:
                user = str(uid)
            users[uid] = user
        try:
            split = split_maps(process) if maps else ("-",) * 6
        except psutil.AccessDenied:
            split = ("-",) * 6
        try:
            exe = process.exe()
        except psutil.AccessDenied:
            exe = "-"
        return (pid, user, rss, *split, process.num_threads(), unit_of(pid), exe, process.name())


def main():
    maps, least, pids = True, 1, []  # a kernel thread has nothing resident
    for arg in sys.argv[1:]:
        if arg == "--no-maps":
            maps = False
        elif arg.startswith("--min="):
            least = int(arg.split("=")[1])
        else:
            pids.append(int(arg))

    users, rows = {}, []
    for process in map(psutil.Process, pids) if pids else psutil.process_iter():
        try:
            row = row_of(process, users, maps, least)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
        if row:
            rows.append(row)
    rows.sort(key=lambda row: -row[2])
    text = "".join("%7d %-8s %11s %11s %11s %11s %11s %11s %9s %4s %s %s %s\n" % row for row in rows)
    sys.stdout.write(text)
    sys.stdout.flush()
    # What the work itself took, without loading Python and psutil.
    print((time.perf_counter_ns() - loaded) // 1000, len(rows), file=sys.stderr)


if __name__ == "__main__":
    main()
