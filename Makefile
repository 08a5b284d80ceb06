# amiwright: one non-recursive makefile; each folder lists its files in module.mk.
# `make help` says what there is.

PREFIX ?= /usr/local
DESTDIR ?=
CC ?= cc
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3
CLANG ?= clang
B ?= build

# Debian leaves the sbin folders out of an ordinary user's PATH; e2fsck, sfdisk and sgdisk are there.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin

VERSION := 0.1.0
PACKAGES := ext2fs com_err fdisk libarchive libmicrohttpd yaml-0.1 jansson libxml-2.0 libcurl libsquashfs1 \
	libcrypto zlib liblzma libdeflate libzstd
JOBS ?= $(shell nproc)

.DEFAULT_GOAL := all

include base/module.mk fs/module.mk formats/module.mk uploader/module.mk builder/module.mk
include tests/module.mk

WARNINGS := -Wall -Wextra -Wshadow -Wvla -Wundef -Wformat=2 -Wstrict-prototypes \
	-Wmissing-prototypes -Wwrite-strings -Wpointer-arith -Wcast-qual -fno-common
HARDENING := -fstack-protector-strong -fPIE $(if $(SANITIZE),,-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
LINK_HARDENING := -pie -Wl,-z,relro,-z,now

pkg_cflags := $(shell $(PKG_CONFIG) --cflags $(PACKAGES) 2>/dev/null)
pkg_libs := $(shell $(PKG_CONFIG) --libs $(PACKAGES) 2>/dev/null)
# What a sanitizer puts in has gcc see null pointers where there are none.
strict := $(if $(DEVELOPER),$(if $(SANITIZE),,-Werror))
sanitize_flags := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer)
all_cflags := -std=gnu11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -DAMIWRIGHT_VERSION='"$(VERSION)"' \
	-I. $(WARNINGS) $(strict) $(HARDENING) $(sanitize_flags) -pthread \
	$(pkg_cflags) $(CFLAGS)
all_ldflags := $(LINK_HARDENING) $(sanitize_flags) -pthread $(LDFLAGS)
all_libs := $(pkg_libs) -lpthread -ldl

# Flavours (compiler, sanitizer) have their own object folders, so that they do not rebuild each other.
comma := ,
flavour := $(notdir $(firstword $(CC)))$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))$(if $(COVERAGE),-coverage)
O := $(B)/obj/$(flavour)

lib_SRCS := $(base_SRCS) $(fs_SRCS) $(formats_SRCS) $(uploader_SRCS) $(builder_SRCS)
lib_OBJS := $(lib_SRCS:%.c=$(O)/%.o)
testlib_OBJS := $(testlib_SRCS:%.c=$(O)/%.o)
unit_PROGS := $(unit_SRCS:tests/unit/%.c=$(O)/%)
fuzz_PROGS := $(fuzz_SRCS:tests/fuzz/%.c=$(O)/%)
bench_PROGS := $(benchprog_SRCS:tests/bench/%.c=$(O)/%)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

include tests/targets.mk

.PHONY: all
all: $(B)/amiwright ## build the program (build/amiwright)

$(B)/amiwright: $(O)/amiwright
	$(Q)cp $< $@.tmp && mv $@.tmp $@

$(O)/amiwright: $(O)/builder/main.o $(O)/libamiwright.a
	$(say) LINK $@
	$(Q)$(CC) $(all_ldflags) -o $@ $^ $(all_libs)

$(O)/libamiwright.a: $(lib_OBJS) $(O)/objects
	$(say) AR $@
	$(Q)rm -f $@ && ar rcD $@ $(lib_OBJS)

# A source that has gone leaves no object behind that is newer than the archive: the list is what changes.
$(O)/objects: FORCE
	$(Q)mkdir -p $(O)
	$(Q)echo '$(lib_OBJS)' >$@.new; cmp -s $@ $@.new && rm $@.new || mv $@.new $@

# A change of compiler or flags rebuilds.
$(O)/flags: FORCE
	$(Q)mkdir -p $(O)
	$(Q)echo '$(subst ','\'',$(CC) $(all_cflags))' >$@.new; cmp -s $@ $@.new && rm $@.new || mv $@.new $@

$(O)/%.o: %.c $(O)/flags
	$(say) CC $<
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(all_cflags) -MMD -MP -c -o $@ $<

-include $(shell find $(O) -name '*.d' 2>/dev/null)

.PHONY: install uninstall clean dist help FORCE
install: all ## install below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/man/man1 \
		$(DESTDIR)$(PREFIX)/share/man/man5
	install -m 755 $(B)/amiwright $(DESTDIR)$(PREFIX)/bin/amiwright
	install -m 644 docs/man/amiwright.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	install -m 644 docs/man/amiwright-spec.5 $(DESTDIR)$(PREFIX)/share/man/man5/

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(PREFIX)/bin/amiwright $(DESTDIR)$(PREFIX)/share/man/man1/amiwright.1 \
		$(DESTDIR)$(PREFIX)/share/man/man5/amiwright-spec.5

clean: ## remove build/
	rm -rf $(B)

dist: ## a source archive of HEAD under build/
	$(Q)mkdir -p $(B)
	git archive --format=tar.gz --prefix=amiwright-$(VERSION)/ -o $(B)/amiwright-$(VERSION).tar.gz HEAD

help: ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22
