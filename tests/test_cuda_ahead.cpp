// A host ahead of the device whose copies are ahead of its computing: images must not land where a step still reads.
#include "emulation/emulation.hpp"
#include "tests/support/cuda_model.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("cuda_ahead: copies that run as early as events let them disturb no image of an earlier step") {
  RT_NEEDS_CUDA();
  const std::vector<float> want = CudaTraining(cuda_options(), true).after(8);
  struct Early {
    Early() { emulation::set_early_copies(true); }
    ~Early() { emulation::set_early_copies(false); }
  } early;
  CudaTraining m(cuda_options());
  m.run_ahead(8);
  CHECK(same(m.after(0), want));
}
