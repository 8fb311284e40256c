// rtrain bench: the commands of rbench.
#include "bench/commands.hpp"
#include "tools/verbs.hpp"

namespace rt {

const Verb bench_verb = {
    .name = "bench",
    .help = "Measure training steps, and what is in them (also as the program rbench).",
    .verbs = bench_commands,
    .rewrite = accept_ablate_option,
};

}  // namespace rt
