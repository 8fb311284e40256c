// The self-test before training on CUDA: a wrong kernel is found, named and replaced, and what passed is remembered.
#include <algorithm>
#include <sstream>
#include <utility>

#include "kernels/conv2d/cudnn/cudnn_choices.hpp"
#include "tests/support/cuda_model.hpp"
#include "tests/support/temp_folder.hpp"
#include "train/engine/self_test.hpp"

using namespace rt;
using namespace rt::testing;

namespace {

// The table with one element of each CUDA row's first result overwritten.
constexpr size_t most_rows = 512;
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

// Whether the self-test's step has this kind at all: a card's library may sum no convolution's output.
bool takes(ExecutorOptions o, ModelConfig config, std::string_view kind) {
  config.width = self_test_width;
  o.largest_batch = count;
  o.height = o.width = 64;
  const auto net = make_model(config);
  ModelState state(*net);
  std::istringstream lines(Executor(*net, state, o).rows(count));
  for (std::string line, times, found; std::getline(lines, line);)
    if (std::istringstream words(line); words >> times >> found && found == kind) return true;
  return false;
}

}  // namespace

TEST_CASE("self_test: correct kernels pass; each corrupted one is named and replaced, and training goes on") {
  RT_NEEDS_CUDA();
  const ModelConfig config{.arch = "resnet18", .stem = "imagenet", .width = 8};
  CHECK(self_test(cuda_options(), config, false)->empty());

  const std::vector<Row> table = corrupted_table(std::make_index_sequence<most_rows>());
  ExecutorOptions fused = cuda_options(), fused_half = cuda_options(DType::f16), unfused = fused_half;
  unfused.optimize.fuse = false;
  for (ExecutorOptions* options : {&fused, &fused_half, &unfused}) {
    options->table = table;
    options->refused = self_test(*options, config, false);
  }
  for (const Row& row : kernel_table()) {  // together these three use every row that this device may take
    if (row.device != Device::cuda || row.last_resort || row.min_capability > cuda_target().capability) continue;
    if (row.kind == "conv2d.forward.stats" && !takes(cuda_options(DType::f16), config, row.kind)) continue;
    auto names = [&](const RefusedRow& r) { return r.kind == row.kind && r.name == row.name; };
    CAPTURE(std::string(row.kind.name()));
    CHECK((std::any_of(fused.refused->begin(), fused.refused->end(), names) ||
           std::any_of(fused_half.refused->begin(), fused_half.refused->end(), names) ||
           std::any_of(unfused.refused->begin(), unfused.refused->end(), names)));
  }
  MESSAGE(fused.refused->size() << " rows refused of a fused step in f32, " << unfused.refused->size()
                                << " of an unfused one in f16");
  CudaTraining m(fused, false, "imagenet"), cpu({}, false, "imagenet");
  const std::string explained = m.executor->explain(count);
  const auto lines = std::count(explained.begin(), explained.end(), '\n');
  int64_t replaced = 0;
  for (size_t at = 0; (at = explained.find(" cuda.via_cpu (", at)) != std::string::npos; ++at) ++replaced;
  CHECK(replaced == lines);
  CHECK(distance(m.after(2), cpu.after(2)) < 0.01);  // a corrupted element would count millions
}

TEST_CASE("self_test: what passed is remembered for the same steps, and only what passed") {
  RT_NEEDS_CUDA();
  const CacheFolder cache;
  const std::string file = "rtrain/self-tests.txt";
  const ModelConfig config{.arch = "resnet18", .stem = "cifar", .width = 8};
  const ExecutorOptions options = cuda_options();
  ExecutorOptions unfused = options, wrong = options;
  unfused.optimize.unfused = "bn_relu.forward";
  const std::vector<Row> table = corrupted_table(std::make_index_sequence<most_rows>());
  wrong.table = table;

  CHECK(!self_test(wrong, config)->empty());
  CHECK(cache.read(file) == "");
  CHECK(self_test(options, config) != nullptr);
  const std::string remembered = cache.read(file);
  CHECK(remembered.ends_with("\tpassed\n"));
  CHECK(self_test(options, config) == nullptr);  // it did not run
  CHECK(self_test(unfused, config) != nullptr);
  cudnn::configure({.deterministic = false, .cache_file = "", .run_file = ""});
  CHECK(self_test(options, config) != nullptr);
  cudnn::configure({});
  CHECK(cache.read(file).starts_with(remembered));
  CHECK(self_test(options, config) == nullptr);

  // A cache that cannot be read stops nobody.
  std::filesystem::remove(cache / file);
  std::filesystem::create_directory(cache / file);
  CHECK(self_test(options, config) != nullptr);
  std::filesystem::remove(cache / file);
  cache.write(file, "nonsense\n");
  std::filesystem::resize_file(cache / file, uintmax_t{1} << 30);
  CHECK(self_test(options, config) != nullptr);
}
