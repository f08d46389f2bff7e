# SPDX-License-Identifier: GPL-2.0-or-later
#
# make            build the programs into build/
# make help       all targets
#
# Variants, each in its own folder, so that none spoils another's objects:
#   make SAN=1      AddressSanitizer and UBSan     build/san
#   make FAULT=1    fault injection compiled in    build/fault
#   make CC=clang   the other compiler             build/clang
#   make FUZZ=1     for libFuzzer, by clang        build/fuzz
#   make COVERAGE=1 counts what runs, FAULT=1 too   build/coverage
# O=DIR puts objects anywhere else. WERROR= (empty) lets warnings pass. V=1 shows
# whole command lines.

VERSION := 0.1.0

ifeq ($(origin CC),default)
CC := $(if $(filter 1,$(FUZZ)),clang,gcc)
endif
AR ?= ar
RST2MAN ?= rst2man
INSTALL ?= install

# $(call say,CC) prints one short line in front of a command that V=1 would
# show; make -s not even that.
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(Q),$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-7s %s\n' $1 $@))

empty :=
space := $(empty) $(empty)
variant := $(if $(findstring clang,$(notdir $(CC))),clang) $(if $(filter 1,$(SAN)),san) $(if $(filter 1,$(FAULT)),fault)
ifeq ($(COVERAGE),1)
FAULT := 1
variant := coverage
endif
variant := $(if $(filter 1,$(FUZZ)),fuzz,$(subst $(space),-,$(strip $(variant))))
O ?= build$(if $(variant),/$(variant))

# Where things are installed. DESTDIR goes in front of all of them.
PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
SBINDIR ?= $(PREFIX)/sbin
LIBEXECDIR ?= $(PREFIX)/libexec/reclaim
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/reclaim
UNITDIR ?= $(PREFIX)/lib/systemd/system
CATALOGDIR ?= $(PREFIX)/lib/systemd/catalog
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
FISHDIR ?= $(PREFIX)/share/fish/vendor_completions.d
# Others look for these in one place only, whatever PREFIX is: D-Bus for who may own
# a name, polkit for what may be asked.
CONFDIR ?= $(PREFIX)/lib/reclaim
BUSDIR ?= $(if $(filter /usr,$(PREFIX)),/usr/share,/etc)/dbus-1/system.d
IFACEDIR ?= $(PREFIX)/share/dbus-1/interfaces
POLKITDIR ?= /usr/share/polkit-1/actions
MODULESLOADDIR ?= /usr/lib/modules-load.d

# ---------------------------------------------------------------- flags

WERROR ?= -Werror
warnings := -Wall -Wextra $(WERROR) -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	    -Wmissing-declarations -Wvla -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings -Wnested-externs \
	    -Wredundant-decls -Wimplicit-fallthrough -Wdate-time
harden := -fstack-protector-strong -fno-strict-aliasing -fno-common -fPIE \
	  $(if $(filter x86_64,$(shell uname -m)),-fcf-protection)
ldharden := -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,--as-needed

CFLAGS ?= -O2 -g
ifeq ($(FUZZ),1)
harden += -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ldharden += -fsanitize=address,undefined
else ifeq ($(SAN),1)
# No _FORTIFY_SOURCE here: its checks would stand in the sanitizers' way.
harden += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ldharden += -fsanitize=address,undefined
else ifneq ($(COVERAGE),1)
harden += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fstack-clash-protection
endif
ifeq ($(COVERAGE),1)
# -O0: of what the optimizer has merged gcov can't tell what ran. gcc's own fork() would begin to count anew.
coverage := -O0 --coverage -fprofile-update=atomic -fdata-sections \
	    $(addprefix -fno-builtin-,fork execl execlp execle execv execvp execve)
coverage_object := $O/tests/coverage/share.o
replays := cfi cpython elf glibc pageable proc pymalloc
ldharden += --coverage -Wl,--wrap=__gcov_exit -Wl,-T,tests/coverage/counters.ld $(coverage_object)
endif
ifeq ($(FAULT),1)
fault := -DRECLAIM_FAULT
# What of libc tests/fault/steps-wrap.c stands in front of, for all that is linked into the worker.
fault_wraps := malloc calloc realloc reallocarray strdup mmap open __open_2 openat __openat_2 read pread write pwrite \
	readdir fdopendir fstat fstatat readlinkat ioctl fcntl dup3 socketpair fork send recv ppoll timer_create waitpid \
	waitid sigtimedwait ptrace syscall prctl setrlimit setgroups setresgid setresuid capset close_range prlimit sysinfo
endif

# Where libnl keeps its headers, on every distribution.
NL_INCLUDE ?= /usr/include/libnl3
all_cppflags := -Idaemon -Iinclude -I$(NL_INCLUDE) -D_GNU_SOURCE -DRECLAIM_VERSION='"$(VERSION)"' \
		-DRECLAIM_BINDIR='"$(BINDIR)"' -DRECLAIM_SBINDIR='"$(SBINDIR)"' \
		-DRECLAIM_LIBEXECDIR='"$(LIBEXECDIR)"' $(fault) $(CPPFLAGS)
all_cflags := -std=gnu11 $(warnings) $(harden) $(CFLAGS)
all_ldflags := $(ldharden) $(LDFLAGS)

# What we trim is somebody else's program: no warnings-as-errors policy of
# ours, no sanitizer, no hardening beyond the compiler's own defaults.
victim_cflags := -std=gnu11 -Wall -Wextra $(WERROR) -O2 -g -D_GNU_SOURCE

# ---------------------------------------------------------------- sources

# One static archive per room. A room's main.c stays out of its archive, so
# that unit tests can link the rest. The order below is the order of linking:
# who comes first may use those that follow, never the other way round.
rooms := ctl worker bus core policy remedy inspect inject sense base
room_srcs = $(sort $(wildcard daemon/$1/*.c) $(if $(filter inject,$1),$(wildcard daemon/inject/arch/*.c)))
room_lib_srcs = $(filter-out daemon/$1/main.c,$(call room_srcs,$1))
room_libs = $(foreach r,$1,$(if $(call room_lib_srcs,$r),$O/$r.a))
objs = $(patsubst %.c,$O/%.o,$1)

# Programs: a main.c, the rooms that it may link, and libraries.
ctl_rooms := ctl bus core policy sense base
d_rooms := bus core policy sense base
# What sense itself needs.
sense_libs := -lnl-genl-3 -lnl-3
ctl_libs := -lsmartcols -lsystemd -lncursesw -ltinfo $(sense_libs)
d_libs := -lsystemd $(sense_libs)
worker_rooms := worker remedy inspect inject base
worker_libs := -ldw -lelf -lcap
# The worker is started for each target: loading seven libraries would be a
# fifth of a trim. STATIC=0, and a libdw that wants more than these, link them
# as shared ones; libc is always shared.
ifeq ($(filter 0,$(STATIC))$(filter 1,$(SAN) $(FUZZ)),)
worker_static := -Wl,-Bstatic -Wl,--start-group $(worker_libs) -lz -llzma -lbz2 -Wl,--end-group -Wl,-Bdynamic
endif

programs := $(if $(wildcard daemon/ctl/main.c),$O/reclaimctl) \
	    $(if $(wildcard daemon/worker/main.c),$O/reclaim-worker) \
	    $(if $(wildcard daemon/reclaimd.c),$O/reclaimd)

unit_tests := $(patsubst tests/unit/%.c,$O/tests/%,$(sort $(wildcard tests/unit/test-*.c)))
unit_helpers := $(filter-out $(wildcard tests/unit/test-*.c),$(sort $(wildcard tests/unit/*.c)))
fuzzers := $(patsubst tests/fuzz/%.c,$O/%,$(sort $(wildcard tests/fuzz/fuzz-*.c)))
victims := $(patsubst tests/victims/%.c,$O/victims/%,$(sort $(wildcard tests/victims/*.c)))
benches := $(patsubst tests/bench/%.c,$O/bench/%,$(sort $(wildcard tests/bench/*.c)))
# Test programs made of what the worker is made of, one from each of these folders.
drivers := $(addprefix $O/,hammer frames)
# What runs in machines with other kernels: one program each, without libraries.
# One of them tries our own library, which can't be linked so when sanitizers watch it.
vm_sense := events
vm_sources := $(if $(filter 1,$(SAN) $(FUZZ)),$(filter-out $(vm_sense:%=tests/vm/%.c),$(wildcard tests/vm/*.c)),$(wildcard tests/vm/*.c))
vm_tests := $(patsubst tests/vm/%.c,$O/vm/%,$(sort $(vm_sources)))
vm_lib_srcs := $(sort $(wildcard tests/vm/lib/*.c))
docs := $O/README.md COPYING $(sort $(wildcard Documentation/*.rst LICENSES/*.txt))
man_srcs := $(sort $(wildcard Documentation/man/*.rst))
man_pages := $(patsubst Documentation/man/%.rst,$O/man/%,$(man_srcs))
completions := $(if $(filter %/reclaimctl,$(programs)),$(addprefix $O/completion/reclaimctl.,bash zsh fish))
units := $(if $(filter %/reclaimd,$(programs)),$(patsubst daemon/units/%.in,$O/units/%,$(wildcard daemon/units/*.in)))

# $(call to,FOLDER,MODE,FILES): a word FILE:FOLDER/NAME:MODE for each. install and
# uninstall read the same list, so that nothing stays behind.
to = $(foreach f,$3,$f:$(strip $1)/$(notdir $f):$(strip $2))
installed = $(call to,$(BINDIR),755,$(filter %/reclaimctl,$(programs))) \
	    $(call to,$(SBINDIR),755,$(filter %/reclaimd,$(programs))) \
	    $(call to,$(LIBEXECDIR),755,$(filter %/reclaim-worker,$(programs))) \
	    $(call to,$(DOCDIR),644,$(docs)) \
	    $(call to,$(DOCDIR)/monitoring,644,$(wildcard Documentation/monitoring/*)) \
	    $(call to,$(DOCDIR)/examples,644,$(wildcard Documentation/examples/*)) \
	    $(foreach d,benchmarks pictures,$(call to,$(DOCDIR)/$d,644,$(wildcard Documentation/$d/*.svg Documentation/$d/*.png))) \
	    $(foreach m,$(man_pages),$(call to,$(MANDIR)/man$(patsubst .%,%,$(suffix $m)),644,$m)) \
	    $(foreach c,$(filter %.bash,$(completions)),$c:$(BASHDIR)/reclaimctl:644) \
	    $(foreach c,$(filter %.zsh,$(completions)),$c:$(ZSHDIR)/_reclaimctl:644) \
	    $(call to,$(FISHDIR),644,$(filter %.fish,$(completions))) \
	    $(call to,$(UNITDIR),644,$(filter %.service %.socket,$(units))) \
	    $(if $(units),$(call to,$(CONFDIR),644,$(wildcard daemon/units/reclaimd.conf)) \
	    $(call to,$(CATALOGDIR),644,$(wildcard daemon/units/*.catalog)) \
	    $(call to,$(BUSDIR),644,$(wildcard daemon/units/org.reclaim1.conf)) \
	    $(call to,$(IFACEDIR),644,$(wildcard Documentation/dbus/*.xml)) \
	    $(call to,$(POLKITDIR),644,$(wildcard daemon/units/*.policy)))
# Folders that are ours alone, each after those in it.
own_folders = $(DOCDIR)/monitoring $(DOCDIR)/examples $(DOCDIR)/benchmarks $(DOCDIR)/pictures $(DOCDIR) $(LIBEXECDIR) $(CONFDIR)

# ---------------------------------------------------------------- targets

setups := $(addprefix setup-,check gen vm demo bench report docs deb picture fire)

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all tests fuzzers check unit san-check valgrind live torture hostile matrix picture-check soak million fire \
	fault-check fuzz lint format gen gen-check docs fault-matrix coverage demo bench deb deb-check kmod dkms-tree \
	dkms-untree vm vm-tests vm-debug vm-bench vm-systemd setup-build $(setups) install uninstall clean help \
	bench-report FORCE

all: $(programs) ## build the programs (default)

tests: all $(unit_tests) $(replays:%=$O/tests/fuzz-%) $(victims) $(benches) $(drivers) $(vm_tests) ## build unit tests, test targets and bench targets

fuzzers: $(if $(filter 1,$(FUZZ)),$(fuzzers)) ## build the fuzzers, into build/fuzz
	$(if $(filter 1,$(FUZZ)),@:,@$(MAKE) --no-print-directory FUZZ=1 fuzzers)

check: setup-check ## everything that must pass: both compilers, units, live, torture, faults, lint
	@scripts/check

unit: setup-check ## unit tests
	@scripts/check unit

san-check: setup-check ## unit and live tests of our programs under ASan and UBSan
	@scripts/check unit-san live-san

valgrind: setup-check ## unit tests and reclaimctl under valgrind
	@scripts/check valgrind

live: setup-check ## live tests against real processes
	@scripts/check live

torture: setup-check ## short torture: trims in a loop against programs that check themselves
	@scripts/check torture

# The first makes the chroots that the second tries the readers and the purge in.
matrix: setup-check tests ## targets from other Debian releases, in chroots under build/chroot (minutes, needs the mirror)
	@/usr/bin/python3 -m pytest -q tests/matrix
	@RECLAIM_CHROOTS="$${RECLAIM_CHROOTS:-$(CURDIR)/build/chroot}" /usr/bin/python3 -m pytest -q \
		tests/live/test_glibc_reader.py tests/live/test_cpython_reader.py tests/live/test_collect.py tests/live/test_purge.py

picture-check: setup-picture tests ## the pages of explain --html in a real browser (installs chromium, which is large)
	@/usr/bin/python3 -m pytest -q tests/picture

KERNELS ?= all
vm: setup-vm vm-tests ## boot Debian's kernels in qemu, load the module, test it; KERNELS='bookworm forky': some of them
	@RECLAIM_KERNELS='$(KERNELS)' scripts/check vm

kmod: $(if $(KDIR),,setup-vm) ## build the module for Debian's kernels, build/kmod/RELEASE/reclaim.ko; KDIR=DIR: for that one; RECLAIM_DEBUG=y: with selftests
	$(if $(KDIR),$(kmod_for),@RECLAIM_DEBUG='$(RECLAIM_DEBUG)' scripts/kernels build $(KERNELS))

vm-debug: setup-vm vm-tests ## the same and stress with a kernel built to find mistakes (hours; the kernel is built once)
	@scripts/check vm-debug

vm-bench: setup-vm vm-tests ## what the module costs beside /proc; build/check/bench-SUITE.json
	@RECLAIM_KERNELS='$(KERNELS)' scripts/check vm-bench

vm-systemd: setup-vm all ## install into a Debian 13 with systemd, in qemu, and see the daemon at work
	@scripts/check vm-systemd

vm-tests: $(vm_tests) $(filter %/reclaimctl,$(programs)) ## build what vm runs

hostile: setup-check ## targets that lie, hang, storm and strike back; RECLAIM_TORTURE_SEED=N repeats a run
	@RECLAIM_HOSTILE='$(or $(RECLAIM_HOSTILE),whole)' scripts/check hostile

HOURS ?= 0
soak: setup-check ## the long torture, 10,000 trims for each kind of target, and the long hostile ones; HOURS=N: again and again
	@RECLAIM_SOAK_HOURS='$(HOURS)' scripts/check soak

# A record of less than all of it is not one for the documentation.
INJECTIONS ?= 1000000
KILLS ?= 20000
STOPS ?= 10000
RECORD ?= $(if $(filter 1000000-20000-10000,$(INJECTIONS)-$(KILLS)-$(STOPS)),Documentation,build/check)/soak.rst
million: setup-check ## a million injections, 20,000 kills, 10,000 stacks compared with gdb's; writes Documentation/soak.rst
	@RECLAIM_INJECTIONS='$(INJECTIONS)' RECLAIM_KILLS='$(KILLS)' RECLAIM_STOPS='$(STOPS)' RECLAIM_RECORD='$(RECORD)' \
		scripts/check million

# A shorter run, or one of some programs, is no record for the documentation.
RECLAIM_FIRE_SECONDS ?= 120
PROGRAMS ?=
fire_record = $(if $(filter 120-,$(RECLAIM_FIRE_SECONDS)-$(PROGRAMS)),Documentation,build/check)/fire.rst
fire: setup-check setup-fire ## redis, PostgreSQL, gcc, CPython's tests, ... trimmed at work, same results as without (3 hours); Documentation/fire.rst; PROGRAMS='redis gcc'
	@RECLAIM_FIRE_SECONDS='$(RECLAIM_FIRE_SECONDS)' RECLAIM_FIRE_PROGRAMS='$(PROGRAMS)' \
		RECLAIM_RECORD='$(fire_record)' scripts/check fire

fault-check: setup-check ## kill the worker at each of its system calls in turn; the target must survive
	@scripts/check fault

fault-matrix: setup-check ## every call of the worker fails in every way in turn (half an hour): Documentation/fault-matrix.rst
	@scripts/check fault-matrix

coverage: setup-check ## which lines of inject, inspect, remedy and policy the tests run (half an hour); build/check/coverage.md
	@scripts/check coverage

SECONDS ?= 60
fuzz: setup-check ## run each fuzzer, for SECONDS=60; build/fuzz holds what it finds and learns
	@RECLAIM_FUZZ_SECONDS='$(SECONDS)' scripts/check fuzz

lint: setup-check ## include law, static analysis, spelling, sizes, licences, format
	@scripts/check lint

format: ## put changed lines of C into shape (edits files)
	@scripts/lint --fix format

gen: setup-gen ## headers, policy and reference of the netlink family, from its specification
	@scripts/gen

gen-check: setup-gen ## fail when they aren't what the specification makes
	@scripts/gen --check

docs: $(man_pages) $O/README.md ## man pages, into build/man

demo: setup-demo all $(filter %/bloat,$(benches)) ## bloat a C and a Python program; explain, predict, trim, verify
	@O='$O' scripts/demo

bench: setup-bench all $(benches) ## side by side with the alternatives; build/bench.json and a table
	@O='$O' scripts/bench

bench-report: setup-report all $(benches) ## measure all that is promised, beside everybody else: Documentation/benchmarks.rst (20 minutes, can be resumed)
	@O='$O' scripts/bench-report $(if $(ONLY),$(ONLY:%=--only=%))

install: all docs $(completions) $(units) ## install below DESTDIR and PREFIX (/usr/local)
	@set -e; for what in $(installed); do \
		mode=$${what##*:}; what=$${what%:*}; file=$${what%%:*}; place=$(DESTDIR)$${what#*:}; \
		$(if $(findstring s,$(firstword -$(MAKEFLAGS))),,printf '  %-7s %s\n' INSTALL "$$place";) \
		$(INSTALL) -D -m $$mode "$$file" "$$place"; done

uninstall: ## remove what install put there; what the daemon wrote (/var/lib/reclaim) and /etc/reclaim stay
	@set -e; for what in $(installed); do what=$${what%:*}; rm -f $(DESTDIR)$${what#*:}; done
	@for folder in $(own_folders); do [ ! -d $(DESTDIR)$$folder ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$$folder; done

dkms-tree: ## the module's sources for dkms, below DESTDIR: /usr/src/reclaim-VERSION, and that it is loaded at boot
	$(INSTALL) -d $(DESTDIR)/usr/src/reclaim-$(VERSION)
	cp -R kmod/. $(DESTDIR)/usr/src/reclaim-$(VERSION)/
	$(INSTALL) -D -m 644 include/uapi/linux/reclaim.h $(DESTDIR)/usr/src/reclaim-$(VERSION)/include/uapi/linux/reclaim.h
	$(INSTALL) -D -m 644 daemon/units/modules-load.conf $(DESTDIR)$(MODULESLOADDIR)/reclaim.conf

dkms-untree: ## remove that again
	rm -rf $(DESTDIR)/usr/src/reclaim-$(VERSION)
	rm -f $(DESTDIR)$(MODULESLOADDIR)/reclaim.conf

deb: setup-deb ## Debian packages, build/deb/*.deb
	@scripts/deb

deb-check: setup-check setup-deb ## try them: chroots of Debian 12 and 13, DKMS, machines of both with systemd (an hour; needs the mirror)
	@scripts/check deb

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## */\1\t/p' Makefile | awk -F '\t' '{ printf "  %-12s %s\n", $$1, $$2 }'

# Packages of Debian, installed when missing (that needs root; nothing else does).
SETUP ?= scripts/setup --quiet
setup-build: ; @$(SETUP) $(if $(findstring clang,$(notdir $(CC))),clang,build)
$(setups): setup-%: ; @$(SETUP) $*

# ---------------------------------------------------------------- rules
$O/README.md: README.md; @mkdir -p $O && sed 's,](Documentation/,](,g' $< > $@ # installed it lies beside the documents
# Rewrites a file only when its content would change: objects depend on the
# flags that made them, archives and programs on the list of their members.
define stamp
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$1)' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$1)' > $@
endef

$O/.flags: FORCE | setup-build
	$(call stamp,$(CC) $(all_cppflags) $(all_cflags) $(coverage) $(all_ldflags) $(victim_cflags))

$O/daemon/%.o: daemon/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(all_cppflags) $(all_cflags) $(coverage) -MMD -MP -c -o $@ $<

$O/tests/unit/%.o: tests/unit/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(all_cppflags) -Itests/unit -DFIXTURES='"$(CURDIR)/tests/fixtures"' $(all_cflags) -MMD -MP -c -o $@ $<

$O/tests/coverage/%.o: tests/coverage/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(all_cppflags) -DCOVERAGE_DIR='"$(abspath $O/counters)"' $(all_cflags) -MMD -MP -c -o $@ $<

$(if $(coverage_object),$(programs) $(unit_tests): | $(coverage_object))

$O/tests/fault/%.o: tests/fault/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(all_cppflags) $(all_cflags) -MMD -MP -c -o $@ $<

define driver_object
$O/tests/$1/%.o: tests/$1/%.c $O/.flags
	@mkdir -p $$(@D)
	$$(call say,CC)
	$$(Q)$$(CC) $$(all_cppflags) -Itests/$1 $$(all_cflags) -MMD -MP -c -o $$@ $$<
$O/$1: $(patsubst %.c,$O/%.o,$(sort $(wildcard tests/$1/*.c)))
endef
$(foreach d,$(notdir $(drivers)),$(eval $(call driver_object,$d)))

$O/tests/fuzz/%.o: tests/fuzz/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(all_cppflags) -Itests/unit -Itests/fuzz -DFIXTURES='"$(CURDIR)/tests/fixtures"' $(all_cflags) \
		-MMD -MP -c -o $@ $<

# What these take in as it is, no compiler tells.
$O/daemon/ctl/page.o: daemon/ctl/picture.css
$O/daemon/ctl/picture-html.o: daemon/ctl/picture.js
$O/daemon/ctl/report-html.o: daemon/ctl/report.js

define archive
$O/$1.list: FORCE
	$$(call stamp,$2)
$O/$1.a: $O/$1.list $(call objs,$2)
	@rm -f $$@
	$$(call say,AR)
	$(Q)$$(AR) rcs $$@ $$(filter %.o,$$^)
endef
$(foreach r,$(rooms),$(if $(call room_lib_srcs,$r),$(eval $(call archive,$r,$(call room_lib_srcs,$r)))))
$(if $(unit_helpers),$(eval $(call archive,unit-helpers,$(unit_helpers))))

$O/reclaimctl: $O/daemon/ctl/main.o $(call room_libs,$(ctl_rooms))
	$(call say,LINK)
	$(Q)$(CC) $(all_cflags) $(all_ldflags) -o $@ $^ $(ctl_libs)

$O/reclaimd: $O/daemon/reclaimd.o $(call room_libs,$(d_rooms))
	$(call say,LINK)
	$(Q)$(CC) $(all_cflags) $(all_ldflags) -o $@ $^ $(d_libs)

$O/reclaim-worker: worker_ldflags = $(all_ldflags) $(fault_wraps:%=-Wl,--wrap=%)
$O/reclaim-worker: $O/daemon/worker/main.o $(call room_libs,$(worker_rooms)) $(if $(fault),$(call objs,$(wildcard tests/fault/*.c)))
	$(call say,LINK)
	$(Q)$(if $(worker_static),$(CC) $(all_cflags) $(worker_ldflags) -o $@ $^ $(worker_static) 2>/dev/null ||) \
		$(CC) $(all_cflags) $(worker_ldflags) -o $@ $^ $(worker_libs)

$(drivers): $(call room_libs,$(worker_rooms))
	$(call say,LINK)
	$(Q)$(CC) $(all_cflags) $(all_ldflags) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(worker_libs)

# A source may name more to link in a comment in its first lines: /* LDLIBS: -lfoo */
ldlibs_of = $(shell sed -n '1,5s,^/\* LDLIBS: \(.*\) \*/$$,\1,p' $1)

# A room that is to be linked before the helpers, among which is a fake of it: /* REAL: core */
real_of = $(patsubst %,$O/%.a,$(shell sed -n '1,5s,^/\* REAL: \(.*\) \*/$$,\1,p' $1))

$(unit_tests): $O/tests/%: $O/tests/unit/%.o $(if $(unit_helpers),$O/unit-helpers.a) $(call room_libs,$(rooms))
	$(call say,LINK)
	$(Q)$(CC) $(all_cflags) $(all_ldflags) -o $@ $< $(call real_of,tests/unit/$*.c) $(filter-out $<,$^) $(ctl_libs) $(worker_libs) -lcmocka -lpthread \
		$(call ldlibs_of,tests/unit/$*.c)

# The fuzzer's main() comes from clang's runtime.
$(fuzzers): $O/%: $O/tests/fuzz/%.o $(if $(unit_helpers),$O/unit-helpers.a) $(call room_libs,$(rooms))
	$(call say,LINK)
	$(Q)$(CC) $(all_cflags) $(all_ldflags) -fsanitize=fuzzer -Wl,-Map=$@.map -o $@ $^ $(ctl_libs) $(worker_libs) -lcmocka -lpthread \
		$(call ldlibs_of,tests/fuzz/$*.c)

# In a coverage build a fuzzer is given its corpus, spoiled, by our own main().
$(replays:%=$O/tests/fuzz-%): $O/tests/fuzz-%: $O/tests/fuzz/fuzz-%.o $O/tests/coverage/replay.o $O/unit-helpers.a $(call room_libs,$(rooms)) | $(coverage_object)
	$(call say,LINK)
	$(Q)$(CC) $(all_cflags) $(all_ldflags) -o $@ $^ $(ctl_libs) $(worker_libs) -lcmocka -lpthread

$(victims): $O/victims/%: tests/victims/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(victim_cflags) -MMD -MP -MF $@.d -o $@ $< -lpthread -lrt $(call ldlibs_of,$<)

$(benches): $O/bench/%: tests/bench/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(victim_cflags) -MMD -MP -MF $@.d -o $@ $< -lpthread -lrt $(call ldlibs_of,$<)

$O/vm/lib/%.o: tests/vm/lib/%.c $O/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(victim_cflags) -Iinclude/uapi -MMD -MP -c -o $@ $<

$(vm_sense:%=$O/vm/%): vm_include := -Idaemon -Iinclude
# The linker has much to say of what libnl could look up, and nobody does.
$(vm_sense:%=$O/vm/%): vm_libs := -Wl,--no-warnings $(call room_libs,sense base) $(sense_libs)
$(vm_sense:%=$O/vm/%): $(call room_libs,sense base)

$(vm_tests): $O/vm/%: tests/vm/%.c $(patsubst tests/vm/%.c,$O/vm/%.o,$(vm_lib_srcs)) $O/.flags
	@mkdir -p $(@D)
	$(call say,LINK)
	$(Q)$(CC) $(victim_cflags) -Iinclude/uapi $(vm_include) -static -MMD -MP -MF $@.d -o $@ $(filter %.c %.o,$^) \
		$(vm_libs) -lpthread

# The kernel's build writes beside its sources, so each release has a copy.
define kmod_for
	@set -e; release=$$(sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' '$(KDIR)/include/generated/utsrelease.h'); out=build/kmod/$$release; \
	mkdir -p $$out/tree/include; cp -a kmod $$out/tree/; cp -a include/uapi $$out/tree/include/; \
	$(MAKE) -C '$(KDIR)' M='$(CURDIR)'/$$out/tree/kmod RECLAIM_DEBUG='$(RECLAIM_DEBUG)' modules; \
	cp $$out/tree/kmod/reclaim.ko $$out/reclaim.ko
endef

$(man_pages): $O/man/%: Documentation/man/%.rst scripts/man.sed | setup-docs
	@mkdir -p $(@D)
	$(call say,MAN)
	$(Q)$(RST2MAN) --strict $< $@.raw
	$(Q)sed -f scripts/man.sed $@.raw > $@
	@rm $@.raw

$O/completion/reclaimctl.%: scripts/completion $O/reclaimctl
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)scripts/completion $* $O/reclaimctl > $@

$(units): $O/units/%: daemon/units/%.in $O/.folders
	@mkdir -p $(@D)
	$(call say,GEN)
	$(Q)sed -e 's,@SBINDIR@,$(SBINDIR),g' -e 's,@LIBEXECDIR@,$(LIBEXECDIR),g' -e 's,@DOCDIR@,$(DOCDIR),g' $< > $@

$O/.folders: FORCE
	$(call stamp,$(SBINDIR) $(LIBEXECDIR) $(DOCDIR))

-include $(wildcard $O/daemon/*.d $O/daemon/*/*.d $O/daemon/*/*/*.d $O/tests/unit/*.d $O/tests/fault/*.d $O/tests/coverage/*.d $O/tests/fuzz/*.d $(drivers:$O/%=$O/tests/%/*.d) $O/victims/*.d $O/bench/*.d $O/vm/*.d $O/vm/lib/*.d)
