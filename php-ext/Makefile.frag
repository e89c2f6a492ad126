# Appended to the Makefile of phpize, see config.m4. A further `make install`, as root and without cargo, builds nothing.
#   CARGO_TARGET_DIR   where cargo builds (default: target/ of the tree)
#   CARGOFLAGS         options for cargo; a tree with vendor/ is built --offline

# Where this folder really is: the tree around it has the engine.
wsengine_crate := $(patsubst %/,%,$(dir $(realpath $(srcdir)/Cargo.toml)))
wsengine_tree := $(realpath $(wsengine_crate)/..)
wsengine_target := $(or $(CARGO_TARGET_DIR),$(wsengine_tree)/target)
wsengine_offline := $(if $(wildcard $(wsengine_tree)/vendor),--offline)
wsengine_sources := $(wildcard $(wsengine_tree)/Cargo.*) $(shell find $(wsengine_crate) $(wsengine_tree)/engine \
	-name tests -prune -o \( -name '*.rs' -o -name Cargo.toml \) -print)

# What PHP's Makefile reads of libtool's file is this name.
$(phplibdir)/wsengine.la: $(phplibdir)/wsengine.so
	echo "dlname='wsengine.so'" >$@

$(phplibdir)/wsengine.so: $(wsengine_sources)
	+cd $(wsengine_crate) && $(WSENGINE_PHP) $(CARGO) build --release --locked --package wsengine-php \
		--target-dir $(wsengine_target) $(wsengine_offline) $(CARGOFLAGS)
	cp $(wsengine_target)/release/libwsengine_php.so $@
