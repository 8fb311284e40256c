// The verbs of rtrain, in the order of `rtrain --help`. `train` is the file tools/train.cpp, which defines train_verb.
#pragma once
#include "tools/verb.hpp"

#define RT_VERBS(VERB) \
  VERB(train)          \
  VERB(eval)           \
  VERB(synth)          \
  VERB(config)         \
  VERB(info)           \
  VERB(doctor)         \
  VERB(gradcheck)      \
  VERB(bench)

namespace rt {

#define RT_DECLARE_VERB(name) extern const Verb name##_verb;
RT_VERBS(RT_DECLARE_VERB)
#undef RT_DECLARE_VERB

}  // namespace rt
