// Whole training steps on CUDA: the CPU's numbers, whatever the layout; the same bits eager, planned and as a graph,
// with images that travel and images that are there; nothing waits; an overflow costs one update.
#include <algorithm>
#include <cmath>

#include "kernels/linear/cublas.hpp"
#include "tests/support/cuda_model.hpp"

using namespace rt;
using namespace rt::testing;

TEST_CASE("cuda_step: f32 gives the CPU's weights in both layouts, half precision comes near them") {
  RT_NEEDS_CUDA();
  CudaTraining cpu({});
  const std::vector<float> want = cpu.after(1), later = cpu.after(2);
  for (int capability : {61, 90}) {
    const ForceCapability forced(capability);
    CudaTraining m(cuda_options());
    const double d = distance(m.after(1), want), grown = distance(m.after(2), later);
    MESSAGE("rows of compute capability " << capability << ", f32: differs by " << d << ", after 3 steps by " << grown);
    CHECK(d < 1e-5);
    CHECK(grown < 1e-3);  // batch norm over a few values magnifies whatever there is
  }
}

TEST_CASE("cuda_step: half precision gives what the CPU gives with the same roundings, and a loss near f32's") {
  RT_NEEDS_CUDA();
  const StepResult want = CudaTraining({}).step();
  for (DType half : {DType::bf16, DType::f16}) {
    if (!computes_in(half)) continue;
    ExecutorOptions o = cuda_options(half);
    CudaTraining m(o);
    auto refused = std::make_shared<std::vector<RefusedRow>>();
    for (const Row& row : kernel_table())
      if (row.device == Device::cuda && !row.last_resort) refused->push_back({row.kind, row.name, "of a test"});
    o.refused = refused;
    CudaTraining by_cpu(o);
    for (CudaTraining* each : {&m, &by_cpu})
      if (half == DType::f16) each->state->control_values()[0] = 256;  // this narrow net overflows with more
    const StepResult got = m.step(), oracle = by_cpu.step();
    m.state->pull();
    by_cpu.state->pull();
    const double gradient = distance(part(m.state->gradients()), part(by_cpu.state->gradients()));
    MESSAGE(std::string(name_of(half)) << ": loss " << got.loss << ", on the CPU " << oracle.loss << ", in f32 "
                                       << want.loss << "; gradients differ by " << gradient);
    CHECK(got.finite);
    CHECK(std::abs(got.loss - oracle.loss) < 1e-3 * want.loss);
    CHECK(gradient <
          (half == DType::f16 ? 0.2 : 0.4));  // roundings fall elsewhere, and batch norm over 16 values magnifies that
    CHECK(std::abs(got.loss - want.loss) < 0.01 * want.loss);
    CHECK(std::abs(got.grad_norm - want.grad_norm) < 0.05 * want.grad_norm);
  }
}

TEST_CASE("cuda_step: eager, planned, as a graph, with resident images: the same bits") {
  RT_NEEDS_CUDA();
  for (DType precision : {DType::f32, DType::f16}) {
    CudaTraining graph(cuda_options(precision));
    const std::vector<float> want = graph.after(8);
    CHECK(cuda::counters().graph_launches > 0);
    ExecutorOptions o = cuda_options(precision);
    o.optimize.graph = false;
    CHECK(same(CudaTraining(o).after(8), want));
    CHECK(same(CudaTraining(cuda_options(precision), true).after(8), want));
    ExecutorOptions unfused = o, eager = o;
    unfused.optimize.fuse = false;
    eager.optimize.plan = false;
    CHECK(same(CudaTraining(eager).after(3), CudaTraining(unfused).after(3)));
  }
}

TEST_CASE("cuda_step: a host that runs eight steps ahead of the device disturbs no image of an earlier one") {
  RT_NEEDS_CUDA();
  const std::vector<float> want = CudaTraining(cuda_options(), true).after(8);
  for (bool resident : {true, false}) {
    CudaTraining m(cuda_options(), resident);
    m.run_ahead(8);  // more than there are slots and stages: each is used again while its step waits
    CHECK(same(m.after(0), want));
  }
}

TEST_CASE("cuda_step: training in half precision learns what it learns in f32") {
  RT_NEEDS_CUDA();
#if defined(__SANITIZE_ADDRESS__)
  MESSAGE("skipped under the address sanitizer: minutes, of steps that the other cases run too");
  return;
#endif
  double f32 = 0, start = 0;  // f32: the lowest loss of an epoch, the first one's
  for (DType precision : {DType::f32, DType::bf16, DType::f16}) {
    if (!computes_in(precision)) continue;
    CudaTraining m(cuda_options(precision), true, "cifar", true);
    double first = 0, lowest = 0;
    int skipped = 0;
    for (int epoch = 0; epoch < 12; ++epoch) {
      double loss = 0;
      for (int i = 0; i < 3; ++i) {
        const StepResult r = m.step(0.03);
        loss += r.loss * static_cast<double>(r.images) / set_size;
        skipped += !r.finite;
      }
      if (epoch == 0) first = lowest = loss;
      lowest = std::min(lowest, loss);  // epochs of three steps go up and down
    }
    MESSAGE(std::string(name_of(precision))
            << ": loss from " << first << " to " << lowest << ", " << skipped << " updates skipped");
    if (precision == DType::f32) {
      f32 = lowest;
      start = first;
    }
    CHECK(lowest < 0.85 * start);  // with smoothed labels the least possible is 0.5
    CHECK((skipped == 0 || precision == DType::f16));
    CHECK(std::abs(lowest - f32) < 0.3 * first);  // two f32 runs with another seed differ by as much
  }
}

TEST_CASE("cuda_step: once warm it allocates nothing, waits for nothing and, with resident data, sends no image") {
  RT_NEEDS_CUDA();
  CudaTraining m(cuda_options(DType::f16), true);
  m.after(6);  // two epochs: both sizes of batch have been captured
  m.loader->start(2);
  const Batch* batch = m.loader->next();
  const cuda::Counters before = cuda::counters();
  m.executor->enqueue(*batch, 1, true, true, 0.05);
  const cuda::Counters after = cuda::counters();
  CHECK(after.allocations == before.allocations);
  CHECK(after.host_waits == before.host_waits);
  CHECK(after.graph_launches == before.graph_launches + 1);
  const int64_t sent = after.to_device_bytes - before.to_device_bytes;
  CHECK(sent > 0);
  CHECK(sent < 1024);  // labels, indices, learning rate
  CHECK(after.to_host_bytes - before.to_host_bytes == report_fields * 4);
  CHECK(m.executor->result(true).has_value());
}

TEST_CASE("cuda_step: a plan's memory, known before, is what training takes") {
  RT_NEEDS_CUDA();
  CudaTraining(cuda_options()).step();  // what libraries take once is there
  for (DType precision : {DType::f32, DType::bf16}) {
    if (!computes_in(precision)) continue;
    cuda::Counters& c = cuda::counters();
    const size_t before = c.peak_bytes = c.allocated_bytes;
    CudaTraining m(cuda_options(precision), true);
    const MemoryFigures planned = m.executor->memory(count);
    m.step();
    m.step();
    const double used = static_cast<double>(c.peak_bytes - before);
    const double figure =
        static_cast<double>(planned.arena_bytes + planned.fixed_bytes - int64_t{cublas::workspace_bytes});
    MESSAGE(std::string(name_of(precision)) << ": planned " << figure << " bytes, used " << used);
    CHECK(std::abs(used - figure) < 0.05 * figure);
  }
}

TEST_CASE("cuda_step: an overflow in f16 skips exactly one update and halves the scale; in f32 it stops all updates") {
  RT_NEEDS_CUDA();
  std::vector<float> images(static_cast<size_t>(count * 3 * side * side));
  Rng rng(4, RngPurpose::test);
  for (float& x : images) x = rng.uniform(-2, 2);
  std::vector<int32_t> labels{1, 2, 3, 4};
  Batch good, bad;
  good.count = bad.count = count;
  good.labels = bad.labels = labels.data();
  good.images = images.data();
  std::vector<float> large(images);
  large[7] = INFINITY;
  bad.images = large.data();
  auto train = [](CudaTraining& m, const Batch& b) { return m.executor->train(b, 1, true, true, 0.01); };

  CudaTraining half(cuda_options(DType::f16));
  CHECK(half.state->control_values()[0] == 65536);
  half.state->control_values()[0] = 256;
  const StepResult first = train(half, good);
  REQUIRE(first.finite);
  CHECK(first.loss_scale == 256);
  const std::vector<float> before = half.after(0);
  const StepResult skipped = train(half, bad);
  CHECK(!skipped.finite);
  CHECK(!skipped.stopped);
  CHECK(skipped.loss_scale == 128);
  CHECK(same(half.after(0), before));
  const StepResult next = train(half, good);
  CHECK(next.finite);
  CHECK(next.loss_scale == 128);
  CHECK(!same(half.after(0), before));
  CHECK(half.state->updates_done() == 2);  // of three steps

  CudaTraining full(cuda_options(DType::f32));
  train(full, good);
  const std::vector<float> kept = full.after(0);
  const StepResult stop = train(full, bad);
  CHECK(!stop.finite);
  CHECK(stop.stopped);
  CHECK(!train(full, good).finite);  // what the host had enqueued before it looked
  CHECK(same(full.after(0), kept));
  CHECK(full.state->updates_done() == 1);
  CHECK(full.executor->first_bad_layer(bad) == "the images themselves");
}
