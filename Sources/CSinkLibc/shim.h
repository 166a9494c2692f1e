#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

/* Functions of the C library that its headers show only with _GNU_SOURCE, which a module cannot define for itself. */
extern int pthread_setname_np(pthread_t thread, const char *name);
extern double strtod_l(const char *text, char **end, locale_t locale);

/* The C locale, made once: strtod itself follows the process's locale, where the decimal point may be a comma. */
static inline double sink_strtod(const char *text, char **end) {
  static locale_t c_locale;
  locale_t current = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);
  if (!current) {
    locale_t fresh = newlocale(LC_ALL_MASK, "C", (locale_t)0), expected = (locale_t)0;
    if (__atomic_compare_exchange_n(&c_locale, &expected, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) current = fresh;
    else { freelocale(fresh); current = expected; }
  }
  return strtod_l(text, end, current);
}
