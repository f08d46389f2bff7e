# SPDX-License-Identifier: GPL-2.0-or-later
"""The packages under systemd, by apt without a network: an older service is upgraded, the module is built and loaded
as soon as it is installed, everything that is documented is found, and a purge leaves nothing."""

import json
import os
import re
from pathlib import Path

from guest import Tap, comment, journal, main_pid, module_loaded, run, show, wait_for

UNIT = "reclaimd.service"
HISTORY = Path("/var/lib/reclaim")
CTL = "/usr/bin/reclaimctl"
PACKAGES = ["reclaimd", "reclaim-dkms", "reclaim-doc"]
SKIP = {"/proc", "/sys", "/dev", "/run/systemd", "/run/udev", "/tests", "/var/log", "/var/cache"}
PAGES = ("reclaimctl.1", "reclaimd.8", "reclaim-worker.8", "reclaimd.conf.5", "reclaim.7", "reclaim.4")
# gcc in a machine that is emulated
BUILD_SECONDS = 5000
# Who asks bash what it would offer for a command line
COMPLETE = r"""
source /usr/share/bash-completion/bash_completion
_completion_loader reclaimctl
COMP_WORDS=(reclaimctl ex) COMP_CWORD=1 COMP_LINE="reclaimctl ex" COMP_POINT=13
_reclaimctl reclaimctl ex reclaimctl
printf '%s\n' "${COMPREPLY[@]}"
"""


def files():
    """All that has our name"""
    found = set()
    for folder, folders, names in os.walk("/"):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in SKIP]
        found |= {os.path.join(folder, n) for n in [*folders, *names] if "reclaim" in n}
    return {f for f in found if not f.endswith(("reclaim-test.service", "/reclaim_test"))}


def apt(verb, *what):
    return run("apt-get", "-q", "-y", "-o", "Dpkg::Use-Pty=0", verb, *map(str, what), check=False,
               timeout=BUILD_SECONDS, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def state():
    return run("systemctl", "is-active", UNIT, check=False).stdout.strip()


def failed_units():
    return run("systemctl", "--failed", "--no-legend", "--plain", "--no-pager")


def the_service(tap, what):
    """Runs, answers on its own socket and on the bus, and may be asked for by name."""
    tap.check(wait_for(lambda: state() == "active", 60), f"{what}: the service runs: {state()}",
              run("systemctl", "status", "--no-pager", UNIT, check=False).stdout)
    done = run(CTL, "--json", "status", check=False)
    tap.check(done.returncode == 0 and json.loads(done.stdout), f"{what}: reclaimctl status asks it", done.stderr)
    bus = wait_for(lambda: run("busctl", "introspect", "org.reclaim1", "/org/reclaim1", check=False), 60)
    tap.check(bus.returncode == 0 and "org.reclaim1.Manager" in bus.stdout, f"{what}: it is on the bus", bus.stderr)
    tap.check(not failed_units(), f"{what}: no unit has failed", failed_units())


def the_module(tap, new):
    """Built by DKMS for the kernel that runs, loaded, and asked."""
    status = run("dkms", "status", "reclaim", check=False).stdout
    release = os.uname().release
    tap.check(f"reclaim/{new}, {release}, x86_64: installed" in status, f"built for {release}", status)
    version = Path("/sys/module/reclaim/version")
    tap.check(module_loaded() and version.read_text().strip() == new, "the module is loaded",
              run("journalctl", "-b", "--no-pager", "-g", "reclaim", check=False).stdout)
    # By number: who is shown without is larger than anything here.
    done = run(CTL, "--source=netlink", "--json", "ps", "1", check=False)
    tap.check(done.returncode == 0 and [p["pid"] for p in json.loads(done.stdout)] == [1], "reclaimctl asks the module",
              f"{done.returncode}: {done.stdout}{done.stderr}")
    done = run("systemctl", "restart", "systemd-modules-load.service", check=False)
    tap.check(done.returncode == 0, "and it is loaded at boot", done.stderr)


def what_is_documented(tap):
    environment, missing = {**os.environ, "MANPAGER": "cat"}, []
    for page in PAGES:
        name, _, section = page.rpartition(".")
        if name not in run("man", section, name, check=False, env=environment).stdout:
            missing.append(page)
    tap.check(not missing, "man finds all pages", missing)
    tap.check(run("bash", "-c", COMPLETE) == "explain", "bash completes verbs")
    unit = Path(show(UNIT, "FragmentPath")).read_text()
    named = [w.removeprefix("file:") for w in unit.split() if w.startswith("file:")]
    tap.check(named and all(Path(p).is_file() for p in named), "what the unit names is there", named)
    verified = run("dpkg", "--verify", *PACKAGES, check=False)
    tap.check(verified.returncode == 0 and not verified.stdout, "all files are as they were packed", verified.stdout)


def removed(tap, segments):
    done = apt("remove", *PACKAGES)
    tap.check(done.returncode == 0 and state() != "active", f"removed, it has stopped: {state()}", done.stdout,
              done.stderr)
    tap.check(all(s.exists() for s in segments), "its history is kept")
    tap.check(not module_loaded(), "the module is not loaded any more")
    left = [p for p in os.listdir("/proc") if p.isdigit() and re.match("reclaim(d|-worker|-reader)", comm(p))]
    tap.check(not left, "no process of it is left", left)


def main():
    old, new = sorted(Path("/tests").glob("reclaimd_*.deb"))
    with Tap() as tap:
        before = files()
        comment(f"before: {sorted(before)}")

        done = apt("install", old)
        tap.check(done.returncode == 0, "an older package is installed", done.stdout, done.stderr)
        tap.check(show(UNIT, "UnitFileState") == "enabled", "the service is enabled")
        the_service(tap, "installed")
        pid, segments = main_pid(UNIT), wait_for(lambda: list(HISTORY.glob("ledger-*")), 60)
        tap.check(bool(segments), "it writes a history")

        version = run("dpkg-deb", "-f", new, "Version")
        done = apt("install", new, *Path("/tests").glob(f"reclaim-*_{version}_all.deb"))
        tap.check(done.returncode == 0, "it is upgraded, module and documents come with it", done.stdout, done.stderr)
        the_service(tap, "upgraded")
        tap.check(main_pid(UNIT) != pid, "another process now")
        tap.check(version in run("/usr/sbin/reclaimd", "--version"), "of the new version")
        tap.check(all(s.exists() for s in segments), "with the same history")
        starts = [e for e in journal(f"_SYSTEMD_UNIT={UNIT}") if e.get("RECLAIM_KIND") == "start"]
        tap.check(len(starts) == 2, f"the journal has two starts: {len(starts)}")
        the_module(tap, version)
        what_is_documented(tap)

        removed(tap, segments)
        done = apt("purge", *PACKAGES)
        tap.check(done.returncode == 0, "all is purged", done.stdout, done.stderr)
        run("systemctl", "daemon-reload")
        tap.check(files() <= before, "no file is left", *sorted(files() - before))
        tap.check(not failed_units(), "no unit has failed", failed_units())
        units = run("systemctl", "list-units", "--all", "--no-legend", "--plain", "reclaim[d-]*", "--no-pager")
        tap.check(not [u for u in units.splitlines() if "reclaim-test" not in u], "no unit is left", units)


def comm(pid):
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


main()
