#ifndef AMIWRIGHT_BUILDER_FITNESS_H
#define AMIWRIGHT_BUILDER_FITNESS_H
#include "builder/kernels.h"
enum fitness_level { FITNESS_WARNING, FITNESS_FATAL };
struct fitness_point { const char *name; enum fitness_level level; char *text; char *cure; };
struct fitness { struct fitness_point *items; size_t nr; };
struct fitness_in { const struct tree *t; const char *architecture, *cmdline; const struct kernels *kernels; const char *root_fs; bool verity, bootable, grow; };
int fitness_check(const struct fitness_in *in, struct fitness *out, struct error *err) MUST_CHECK;
void fitness_release(struct fitness *f);
int fitness_text(const struct fitness_point *p, struct buf *out, struct error *err) MUST_CHECK;
#endif
