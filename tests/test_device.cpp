// What the machine that the tests run on says of itself.
#include <doctest/doctest.h>

#include "core/device.hpp"

using namespace rt;

TEST_CASE("device: every limit has a reason and leaves at least one thread") {
  const Machine& m = machine();
  CHECK(m.threads.value >= 1);
  CHECK(m.threads.value <= m.affinity_cpus);
  CHECK(!m.threads.reason.empty());
  CHECK(m.usable_memory_bytes.value > 0);
  CHECK(!m.usable_memory_bytes.reason.empty());
}
