// Whole training steps on CUDA: the CPU's numbers, whatever the layout; the same bits eager, planned and as a graph, with
// images that travel and images that are there; nothing waits; an overflow costs one update; a wrong kernel is replaced.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/rng.hpp"
#include "kernels/cublas.hpp"
#include "tests/cuda_test.hpp"
#include "train/device_choice.hpp"
#include "train/executor.hpp"
#include "train/self_test.hpp"

using namespace rt;
using rt::testing::ForceCapability;

namespace {

constexpr int64_t count = 4, side = 16, set_size = 11;

// A few images; the last batch of an epoch is not full. Noise, or stripes whose width tells the class.
class Images final : public Dataset {
 public:
  explicit Images(bool stripes = false) : bytes_(static_cast<size_t>(set_size * 3 * side * side)) {
    info_.classes = 10, info_.height = info_.width = static_cast<int>(side);
    Rng rng(5, RngPurpose::test);
    for (size_t i = 0; i < bytes_.size(); ++i) {
      bytes_[i] = static_cast<uint8_t>(rng.next() >> 24);
      const auto image = static_cast<int64_t>(i) / (3 * side * side), y = static_cast<int64_t>(i) / side % side;
      if (stripes) bytes_[i] = static_cast<uint8_t>(bytes_[i] / 8 + (y / (1 + label(image)) % 2 ? 160 : 32));
    }
  }
  const DatasetInfo& info() const override { return info_; }
  int64_t size() const override { return set_size; }
  int label(int64_t i) const override { return static_cast<int>(i % 10); }
  const uint8_t* pixels(int64_t i) const override { return bytes_.data() + i * 3 * side * side; }

 private:
  DatasetInfo info_;
  std::vector<uint8_t> bytes_;
};

std::vector<float> part(const std::vector<NamedView>& list) {
  std::vector<float> all;
  for (const NamedView& v : list) all.insert(all.end(), v.view.as<float>(), v.view.as<float>() + v.view.numel());
  return all;
}

struct Model {
  Images data;
  std::unique_ptr<ResNet> net;
  std::unique_ptr<ModelState> state;
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Loader> loader;
  uint32_t epoch = 0;

  explicit Model(ExecutorOptions o, bool resident = false, const std::string& stem = "cifar", bool stripes = false)
      : data(stripes) {
    net = make_resnet({"resnet18", stem, 10, 3, 8});
    state = std::make_unique<ModelState>(*net);
    state->initialise(1);
    o.largest_batch = count, o.height = o.width = side;
    o.augment = {.crop_padding = 2, .flip = true, .random = true, .seed = 3};
    const float mean[] = {0.5f, 0.4f, 0.3f}, deviation[] = {0.2f, 0.25f, 0.3f};
    o.normalise = std::make_shared<Tensor>(normalise_table(mean, deviation));
    executor = std::make_unique<Executor>(*net, *state, o);
    if (resident) executor->hold(data, true);
    LoaderOptions l;
    l.batch = count, l.shuffle = true, l.seed = 2, l.gather = !resident;
    loader = std::make_unique<Loader>(data, l);
    loader->start(0);
  }
  StepResult step(double lr = 0.05) {
    const Batch* batch = loader->next();
    if (!batch) loader->start(++epoch), batch = loader->next();
    return executor->train(*batch, 1, true, true, lr);
  }
  // Weights, momentum and statistics after some steps, as one list of numbers.
  std::vector<float> after(int steps) {
    for (int i = 0; i < steps; ++i) step();
    state->pull();
    std::vector<float> all;
    for (const auto& list : {state->parameters(), state->momenta(), state->statistics()})
      for (const NamedView& v : list) all.insert(all.end(), v.view.as<float>(), v.view.as<float>() + v.view.numel());
    return all;
  }
};

ExecutorOptions cuda_options(DType precision = DType::f32) {
  ExecutorOptions o;
  o.device = Device::cuda, o.precision = precision;
  return o;
}

bool computes_in(DType precision) { return precision_problem(cuda_target(), precision).empty(); }

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    norm += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / norm);
}
bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// The table with one element of each CUDA row's first result overwritten.
constexpr size_t most_rows = 256;
const Row* originals[most_rows];
template <size_t i>
void corrupted(const Args& a) {
  originals[i]->run(a);
  const unsigned char bytes[8] = {0x4b, 0x4b, 0x4b, 0x4b, 0x4b, 0x4b, 0x4b, 0x4b};
  const size_t size = size_of(a.out[0].spec.dtype), at = static_cast<size_t>(a.out[0].numel() / 2) * size;
  cuda::copy_to_device(static_cast<std::byte*>(a.out[0].data) + at, bytes, size, a.stream);
}
template <size_t... i>
std::vector<Row> corrupted_table(std::index_sequence<i...>) {
  void (*const runs[])(const Args&) = {corrupted<i>...};
  std::vector<Row> rows;
  for (const Row& row : kernel_table()) {
    RT_CHECK(rows.size() < most_rows, "more than {} rows", most_rows);
    originals[rows.size()] = &row;
    rows.push_back(row);
    if (row.device == Device::cuda && !row.last_resort) rows.back().run = runs[rows.size() - 1];
  }
  return rows;
}

}  // namespace

TEST_CASE("cuda step: f32 gives the CPU's weights in both layouts, half precision comes near them") {
  RT_NEEDS_CUDA();
  Model cpu({});
  const std::vector<float> want = cpu.after(1), later = cpu.after(2);
  for (int capability : {61, 90}) {
    const ForceCapability forced(capability);
    Model m(cuda_options());
    const double d = distance(m.after(1), want), grown = distance(m.after(2), later);
    MESSAGE("rows of compute capability " << capability << ", f32: differs by " << d << ", after 3 steps by " << grown);
    CHECK(d < 1e-5);
    CHECK(grown < 1e-3);  // batch norm over a few values magnifies whatever there is
  }
}

TEST_CASE("cuda step: half precision gives what the CPU gives with the same roundings, and a loss near f32's") {
  RT_NEEDS_CUDA();
  const StepResult want = Model({}).step();
  for (DType half : {DType::bf16, DType::f16}) {
    if (!computes_in(half)) continue;
    ExecutorOptions o = cuda_options(half);
    Model m(o);
    auto refused = std::make_shared<std::vector<RefusedRow>>();
    for (const Row& row : kernel_table())
      if (row.device == Device::cuda && !row.last_resort) refused->push_back({row.kind, row.name, "of a test"});
    o.refused = refused;
    Model by_cpu(o);
    for (Model* each : {&m, &by_cpu})
      if (half == DType::f16) each->state->control_values()[0] = 256;  // this narrow net overflows with more
    const StepResult got = m.step(), oracle = by_cpu.step();
    m.state->pull(), by_cpu.state->pull();
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

TEST_CASE("cuda step: eager, planned, as a graph, with resident images: the same bits") {
  RT_NEEDS_CUDA();
  for (DType precision : {DType::f32, DType::f16}) {
    Model graph(cuda_options(precision));
    const std::vector<float> want = graph.after(8);
    CHECK(cuda::counters().graph_launches > 0);
    ExecutorOptions o = cuda_options(precision);
    o.graph = false;
    CHECK(same(Model(o).after(8), want));
    CHECK(same(Model(cuda_options(precision), true).after(8), want));
    ExecutorOptions unfused = o, eager = o;
    unfused.fuse = false, eager.plan = false;
    CHECK(same(Model(eager).after(3), Model(unfused).after(3)));
  }
}

TEST_CASE("cuda step: training in half precision learns what it learns in f32") {
  RT_NEEDS_CUDA();
#if defined(__SANITIZE_ADDRESS__)
  MESSAGE("skipped under the address sanitizer: minutes, of steps that the other cases run too");
  return;
#endif
  double f32 = 0, start = 0;  // f32: the lowest loss of an epoch, the first one's
  for (DType precision : {DType::f32, DType::bf16, DType::f16}) {
    if (!computes_in(precision)) continue;
    Model m(cuda_options(precision), true, "cifar", true);
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
    if (precision == DType::f32) f32 = lowest, start = first;
    CHECK(lowest < 0.85 * start);  // with smoothed labels the least possible is 0.5
    CHECK((skipped == 0 || precision == DType::f16));
    CHECK(std::abs(lowest - f32) < 0.3 * first);  // two f32 runs with another seed differ by as much
  }
}

TEST_CASE("cuda step: once warm it allocates nothing, waits for nothing and, with resident data, sends no image") {
  RT_NEEDS_CUDA();
  Model m(cuda_options(DType::f16), true);
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

TEST_CASE("cuda step: a plan's memory, known before, is what training takes") {
  RT_NEEDS_CUDA();
  Model(cuda_options()).step();  // what libraries take once is there
  for (DType precision : {DType::f32, DType::bf16}) {
    if (!computes_in(precision)) continue;
    cuda::Counters& c = cuda::counters();
    const size_t before = c.peak_bytes = c.allocated_bytes;
    Model m(cuda_options(precision), true);
    const MemoryFigures planned = m.executor->memory(count);
    m.step(), m.step();
    const double used = static_cast<double>(c.peak_bytes - before);
    const double figure =
        static_cast<double>(planned.arena_bytes + planned.fixed_bytes - int64_t{cublas::workspace_bytes});
    MESSAGE(std::string(name_of(precision)) << ": planned " << figure << " bytes, used " << used);
    CHECK(std::abs(used - figure) < 0.05 * figure);
  }
}

TEST_CASE("cuda step: an overflow in f16 skips exactly one update and halves the scale; in f32 it stops all updates") {
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
  auto train = [](Model& m, const Batch& b) { return m.executor->train(b, 1, true, true, 0.01); };

  Model half(cuda_options(DType::f16));
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

  Model full(cuda_options(DType::f32));
  train(full, good);
  const std::vector<float> kept = full.after(0);
  const StepResult stop = train(full, bad);
  CHECK(!stop.finite);
  CHECK(stop.stopped);
  CHECK(!train(full, good).finite);  // what the host had enqueued before it looked
  CHECK(same(full.after(0), kept));
  CHECK(full.executor->first_bad_layer(bad) == "the images themselves");
}

TEST_CASE("cuda self-test: correct kernels pass; each corrupted one is named and replaced, and training goes on") {
  RT_NEEDS_CUDA();
  const ResNetConfig config{"resnet18", "imagenet", 10, 3, 8};
  CHECK(self_test(cuda_options(), config, false)->empty());

  const std::vector<Row> table = corrupted_table(std::make_index_sequence<most_rows>());
  ExecutorOptions fused = cuda_options(), fused_half = cuda_options(DType::f16), unfused = fused_half;
  unfused.fuse = false;
  for (ExecutorOptions* options : {&fused, &fused_half, &unfused}) {
    options->table = table;
    options->refused = self_test(*options, config, false);
  }
  for (const Row& row : kernel_table()) {  // together these three use every row
    if (row.device != Device::cuda || row.last_resort) continue;
    auto names = [&](const RefusedRow& r) { return r.kind == row.kind && r.name == row.name; };
    CAPTURE(std::string(row.kind));
    CHECK((std::any_of(fused.refused->begin(), fused.refused->end(), names) ||
           std::any_of(fused_half.refused->begin(), fused_half.refused->end(), names) ||
           std::any_of(unfused.refused->begin(), unfused.refused->end(), names)));
  }
  MESSAGE(fused.refused->size() << " rows refused of a fused step in f32, " << unfused.refused->size()
                                << " of an unfused one in f16");
  Model m(fused, false, "imagenet"), cpu({}, false, "imagenet");
  const std::string explained = m.executor->explain(count);
  const auto lines = std::count(explained.begin(), explained.end(), '\n');
  int64_t replaced = 0;
  for (size_t at = 0; (at = explained.find(" cuda.via_cpu (", at)) != std::string::npos; ++at) ++replaced;
  CHECK(replaced == lines);
  CHECK(distance(m.after(2), cpu.after(2)) < 0.01);  // a corrupted element would count millions
}
