// rtrain doctor: on a device that works every check passes, and the last one has computed with it.
#include <doctest/doctest.h>

#include <algorithm>

#include "core/cuda.hpp"
#include "kernels/defaults.hpp"
#include "tools/doctor.hpp"

using namespace rt;

TEST_CASE("doctor: a device that works passes every check, by computing") {
  const int64_t launches = cuda::counters().launches;
  const std::vector<Finding> found = examine();
  for (const Finding& f : found) {
    CAPTURE(f.what);
    CAPTURE(f.detail);
    CHECK(f.ok);
    CHECK(f.advice.empty());
  }
  CHECK(found.back().what == "computing");
  const Finding& chosen = found[found.size() - 2];
  CHECK(chosen.what == "chosen by itself");
  const ComputeDefaults d = compute_defaults(cuda_target());
  CHECK(chosen.detail.starts_with(name_of(d.precision)));
  CHECK(chosen.detail.find(std::string("layout ") + std::string(name_of(d.layout))) != std::string::npos);
  CHECK(cuda::counters().launches > launches);
}

TEST_CASE("doctor: versions as their makers write them") {
  CHECK(dotted(12040) == "12.4");
  CHECK(dotted(13000) == "13.0");
  CHECK(library_version(91002) == "9.10.2");
  CHECK(library_version(8907) == "8.9.7");
  CHECK(library_version(120405) == "12.4.5");
  CHECK(capability_text(61) == "6.1");
  CHECK(capability_text(120) == "12.0");
}
