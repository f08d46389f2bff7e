#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A million injections into programs that check themselves, 20,000 kills of who injects, and our unwinder
against gdb's on 10,000 stops. One line for each case (TAP), and a record for the documentation.

usage: tests/torture/million.py [--injections=N] [--kills=N] [--stops=N] [--seed=N] [--jobs=N] [--minutes=N]
                                [--record=FILE]

Told to end (SIGTERM, SIGINT), or after --minutes, it ends what it is at, judges that, and says so in its record."""

import argparse
import random
import signal
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True
TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "torture"), str(TESTS / "live"), str(TESTS)]
import framing  # noqa: E402
import hammering  # noqa: E402
import record  # noqa: E402
import workers  # noqa: E402
from sleeping import CASES as SLEEPERS  # noqa: E402

SLEEP_MS = 1500
MORE_ROUNDS = 200


def options(argv):
    p = argparse.ArgumentParser()
    for name, value in (("injections", 10**6), ("kills", 20000), ("stops", 10000), ("seed", int(time.time())),
                        ("jobs", 3), ("minutes", 120)):
        p.add_argument("--" + name, type=int, default=value)
    p.add_argument("--record", type=Path)
    return p.parse_args(argv)


class Million:
    def __init__(self, args):
        self.args, self.began = args, time.time()
        self.drivers, self.lock, self.cut = hammering.Drivers(), threading.Lock(), ""
        self.chance = random.Random(args.seed)
        self.results, self.failed, self.n, self.tree = [], 0, 0, record.sources()

    def left_ms(self):
        return max(int((self.args.minutes * 60 - (time.time() - self.began)) * 1000), 1)

    def seed(self):
        with self.lock:
            return self.chance.randrange(1, 10**9)

    def total(self, what):
        with self.lock:
            return sum(r.doc.get(what, 0) for r in self.results if r.kind in ("injections", "sleeps"))

    def told(self, result, error=None):
        with self.lock:
            self.n += 1
            if error:
                self.failed += 1
            else:
                self.results.append(result)
            print(f"{'not ok' if error else 'ok'} {self.n} - {result.line()}", flush=True)
            for line in (error or "").splitlines():
                print(f"# {line}", flush=True)

    def case(self, kind, name, program, function, seed):
        """Runs one case and tells its verdict."""
        result = record.Result(kind, name, program, seed)
        began = time.monotonic()
        try:
            result.doc = function()
            result.seconds = time.monotonic() - began
            self.told(result)
        except hammering.Ended:
            pass
        except Exception as e:  # whatever it is, it is this case's verdict, and the others go on
            result.seconds = time.monotonic() - began
            self.told(result, f"{e}\n{traceback.format_exc()}")

    def injections(self, case, count):
        seed = self.seed()
        self.case("injections", case.name, case.program,
                  lambda: hammering.inject(self.drivers, case, max(count, 1), seed, self.left_ms()), seed)

    def kills(self, case, count):
        seed = self.seed()
        self.case("kills", case.name, case.program,
                  lambda: hammering.kill(self.drivers, case, max(count, 1), seed, self.left_ms()), seed)

    def workers(self, case, count):
        seed = self.seed()
        self.case("workers", case.name, case.program,
                  lambda: workers.kill_workers(self.drivers, case, max(count, 1), seed, self.left_ms()), seed)

    def sleeps(self, case):
        seed = self.seed()
        self.case("sleeps", case.name, "sleepers", lambda: hammering.sleep(self.drivers, case, SLEEP_MS, seed), seed)

    def stacks(self, subject, count):
        seed = self.seed()
        self.case("stops", subject.name, subject.program,
                  lambda: framing.compare(self.drivers, subject, max(count, 1), seed), seed)

    def jobs(self):
        """The slow ones first."""
        a = self.args
        for c in hammering.CASES if a.injections else []:
            yield self.injections, c, int(a.injections * c.share)
        of_workers = int(a.kills * hammering.WORKERS_SHARE) // len(hammering.WORKERS) + 1 if a.kills else 0
        for k in hammering.WORKERS if a.kills else []:
            yield self.workers, k, of_workers
        for k in hammering.KILLS if a.kills else []:
            yield self.kills, k, int(a.kills * (1 - hammering.WORKERS_SHARE) * k.share) + 1
        for s in framing.SUBJECTS if a.stops else []:
            yield self.stacks, s, a.stops // len(framing.SUBJECTS) + 1
        for s in SLEEPERS if a.injections else []:
            yield self.sleeps, s

    def all_at(self, jobs):
        with ThreadPoolExecutor(self.args.jobs) as pool:
            for f in [pool.submit(*job) for job in jobs]:
                f.result()

    def more(self):
        """Until there are as many as were asked for."""
        fast = [c for c in hammering.CASES if c.name in hammering.FAST]
        for _ in range(MORE_ROUNDS):
            missing = self.args.injections - self.total("calls")
            if missing <= 0 or self.failed or self.drivers.ended:
                return
            self.all_at([(self.injections, c, missing // len(fast) + 1) for c in fast])

    def told_to_end(self, number, _):
        self.cut = f"it was told to end ({signal.Signals(number).name})"
        # not here: whoever is interrupted may hold the lock
        threading.Thread(target=self.drivers.end, daemon=True).start()

    def run(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.told_to_end)
        self.all_at(self.jobs())
        self.more()
        print(f"1..{self.n}")
        kills = sum(r.doc["kills"] for r in self.results if r.kind in ("kills", "workers"))
        stops = sum(r.doc["stops"] for r in self.results if r.kind == "stops")
        reached = [self.total("calls"), kills, stops]
        wanted = [self.args.injections, self.args.kills, self.args.stops]
        print("# {} injections, {} kills, {} stops in {:.0f} s".format(*reached, time.time() - self.began))
        for got, want, what in zip(reached, wanted, ("injections", "kills", "stops")):
            if got < want and not self.cut:
                self.cut = f"{got} of {want} {what} were reached"
        run = record.save(self.results, {**vars(self.args), "began": self.began, "tree": self.tree, "cut": self.cut,
                                         "failed": self.failed})
        if self.args.record:
            record.write(self.args.record, [run])
            print(f"# {self.args.record}{': incomplete' if self.cut or self.failed else ''}")
        if self.cut and not self.failed:
            print(f"# {self.cut}")
        return 1 if self.failed or self.cut else 0


def main(argv):
    return Million(options(argv)).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
