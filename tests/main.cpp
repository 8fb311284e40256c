// The tests' main. Linked with the real device (rt_tests_gpu), they are skipped as a whole where no GPU can be used.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "core/threads.hpp"
#include "tests/support/temp_folder.hpp"

#ifdef RT_TESTS_GPU
#include "core/cuda.hpp"
#include "core/format.hpp"
#endif

int main(int argc, char** argv) {
  rt::limit_waiting(argv);
#ifdef RT_TESTS_GPU
  if (const std::string& problem = rt::cuda::support().problem; !problem.empty()) {
    rt::print("skipped: {}\n", problem);
    return 77;
  }
#endif
  const CacheFolder caches;  // what is tuned and chosen here stays out of the user's cache
  return doctest::Context(argc, argv).run();
}
