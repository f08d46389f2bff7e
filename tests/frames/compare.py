# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs inside of gdb: stops a process at random moments, and compares the stack of each of its threads as gdb
sees it with what our unwinder (build/frames) makes of the same registers. Prints one line of JSON.

Where to: RECLAIM_FRAMES, the program; RECLAIM_FRAMES_PID, _STOPS, _SEED."""

import json
import os
import random
import subprocess

import gdb  # pylint: disable=import-error

# DWARF's order
REGISTERS = "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split()
MASK = (1 << 64) - 1
LIMIT = 256
PAUSE_US = 3000

PID, STOPS = int(os.environ["RECLAIM_FRAMES_PID"]), int(os.environ["RECLAIM_FRAMES_STOPS"])


class Ours:
    def __init__(self):
        self.proc = subprocess.Popen([os.environ["RECLAIM_FRAMES"], str(PID)], stdin=subprocess.PIPE,
                                     stdout=subprocess.PIPE, text=True)

    def say(self, text):
        self.proc.stdin.write(text + "\n")
        self.proc.stdin.flush()

    def frames(self, registers, fs_base):
        """(error, [(pc, sp, is it a signal's)])"""
        self.say(" ".join(["frames", *(f"{v:x}" for v in (fs_base, *registers))]))
        error, n, *frames = self.proc.stdout.readline().split()
        fields = [f.split(":") for f in frames]
        assert len(fields) == int(n), frames
        return int(error), [(int(pc, 16), int(sp, 16), signal == "1") for pc, sp, signal, _ in fields]


def register(frame, name):
    return int(frame.read_register(name)) & MASK


def theirs(frame):
    """What gdb says, without the frames that it only imagines: inlined functions and tail calls."""
    out = []
    while frame is not None and len(out) < LIMIT:
        if frame.type() not in (gdb.INLINE_FRAME, gdb.TAILCALL_FRAME):
            out.append((frame.pc() & MASK, register(frame, "rsp"), frame.type() == gdb.SIGTRAMP_FRAME))
        last, frame = frame, frame.older()
    return out, gdb.frame_stop_reason_string(last.unwind_stop_reason())


class Tally:
    def __init__(self):
        self.stops = self.stacks = self.same = self.shorter = self.longer = self.frames = self.signals = 0
        self.differ, self.errors, self.ends = [], {}, {}

    def add(self, error, ours, gdbs, end):
        self.stacks += 1
        common = min(len(ours), len(gdbs))
        self.frames += common
        self.signals += any(f[2] for f in gdbs)
        if ours[:common] != gdbs[:common]:
            self.differ.append([error, [[f"{v:x}" for v in f] for f in ours],
                                [[f"{v:x}" for v in f] for f in gdbs], end])
        elif error == 0 and len(ours) == len(gdbs):
            self.same += 1
        elif len(ours) < len(gdbs) and error:
            # it doesn't guess: what can't be followed by call frame information of a file alone is given up
            self.shorter += 1
            self.errors[error] = self.errors.get(error, 0) + 1
        elif len(ours) < len(gdbs):
            self.differ.append([error, "ended too early", len(ours), len(gdbs), end])
        else:
            self.longer += 1
            self.ends[end] = self.ends.get(end, 0) + 1


def stop(ours, chance, threads):
    ours.say(f"kick {chance.choice(threads)} {chance.randrange(PAUSE_US)}")
    gdb.execute("continue", to_string=True)


def compare(ours, tally):
    tids = []
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        tids.append(thread.ptid[1])
        frame = gdb.newest_frame()
        registers = [register(frame, name) for name in REGISTERS]
        error, mine = ours.frames(registers, register(frame, "fs_base"))
        tally.add(error, mine, *theirs(frame))
    tally.stops += 1
    return tids


def main():
    chance, tally = random.Random(int(os.environ["RECLAIM_FRAMES_SEED"])), Tally()
    for command in ("set pagination off", "set confirm off", "set print thread-events off",
                    "set debuginfod enabled off", "set auto-load off", "set backtrace past-main on",
                    "set backtrace past-entry on", "handle all nostop noprint pass",
                    "handle SIGURG stop print nopass", f"attach {PID}"):
        gdb.execute(command, to_string=True)
    ours = Ours()
    tids = compare(ours, Tally())
    while tally.stops < STOPS:
        stop(ours, chance, tids)
        tids = compare(ours, tally)
    gdb.execute("detach", to_string=True)
    ours.proc.stdin.close()
    print(json.dumps({**vars(tally), "differ": tally.differ[:5], "different": len(tally.differ),
                      "gdb": gdb.VERSION, "ours": ours.proc.wait(30)}))


main()
