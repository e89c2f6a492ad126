dnl For phpize, and so for PIE: `make` runs cargo, `make test` and `make install` are PHP's own. The rules are in
dnl Makefile.frag. The engine lies beside this folder, so it takes the whole tree.

PHP_ARG_ENABLE([wsengine],
  [whether to enable wsengine],
  [AS_HELP_STRING([--disable-wsengine], [Build nothing])],
  [yes])

PHP_ARG_WITH([cargo],
  [for cargo],
  [AS_HELP_STRING([[--with-cargo[=PATH]]], [The cargo that builds it [the PATH's]])],
  [yes],
  [no])

if test "$PHP_WSENGINE" != no; then
  test "`$PHP_CONFIG --vernum`" -ge 80200 ||
    AC_MSG_ERROR([wsengine needs PHP 8.2 or newer, this is `$PHP_CONFIG --version`])

  test "$PHP_CARGO" != yes || PHP_CARGO=cargo
  AC_PATH_PROG([CARGO], [$PHP_CARGO], [no])
  test "$CARGO" != no ||
    AC_MSG_ERROR([there is no $PHP_CARGO. Install Rust (rust-lang.org/tools/install) or name it by --with-cargo=PATH])
  PHP_SUBST([CARGO])

  dnl Named to cargo only where it is another than the PATH's: what depends on PHP is built again when this changes.
  WSENGINE_PHP=
  found_php=`command -v php`
  found_php_config=`command -v php-config`
  this_php_config=`command -v "$PHP_CONFIG"`
  if test "`readlink -f "$found_php"`" != "`readlink -f "$PHP_EXECUTABLE"`" ||
      test "`readlink -f "$found_php_config"`" != "`readlink -f "$this_php_config"`"; then
    WSENGINE_PHP="PHP=$PHP_EXECUTABLE PHP_CONFIG=$this_php_config"
  fi
  PHP_SUBST([WSENGINE_PHP])

  PHP_ADD_BUILD_DIR([.])
  PHP_MODULES="$PHP_MODULES \$(phplibdir)/wsengine.la"
  PHP_ADD_MAKEFILE_FRAGMENT([$abs_srcdir/Makefile.frag], [$abs_srcdir], [.])
fi
