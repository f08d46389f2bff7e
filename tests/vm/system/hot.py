# SPDX-License-Identifier: GPL-2.0-or-later
"""As bloated as the others, and always at work: some percent of a processor."""

import select
import time

import seed

program = seed.Program()
print("ready", flush=True)
while True:
    end = time.thread_time() + 0.005
    while time.thread_time() < end:
        pass
    if select.select([0], [], [], 0.1)[0] and input() == "check":
        print(program.check(), flush=True)
